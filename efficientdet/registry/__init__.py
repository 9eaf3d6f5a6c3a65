"""Where blessed models live: registered once, found by name, fetched with their sums checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from efficientdet.errors import RegistryError

CHAMPION, CANDIDATE, PREVIOUS = "champion", "candidate", "previous"
"""What consumers get; what was published and waits to be promoted; the champion before this one."""
DOCUMENTS_FOLDER = "documents"
"""Where a version holds the documents that were registered beside its bundle."""
MODEL_CARD = f"{DOCUMENTS_FOLDER}/model_card.md"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
# numbers are versions, and MLflow keeps `latest` and `v<number>` for itself
_RESERVED_ALIAS = re.compile(r"\d+|latest|v\d+", re.IGNORECASE)

Metrics = Mapping[str, Mapping[str, float | None]]
"""Numbers per shipped file, as `{"float": {"AP": 0.41, ...}, "int8": {...}}`; None where COCO has no value."""


@dataclass(frozen=True)
class ModelVersion:
    """One complete registered version; `version` counts from "1" within its name.

    `content` is the sha256 over the sums of the bundle's files (equal content, equal version), `entry` that of its
    registry entry, which proves all files, `size` the bytes of all files, `created` is in UTC.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    metrics: Metrics
    created: datetime
    size: int
    content: str
    entry: str
    tags: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class Source(Protocol):
    """What a consumer asks of a registry. Every failure is a RegistryError of the kind that fits."""

    uri: str

    def get(self, name: str, selector: str = CHAMPION) -> ModelVersion:
        """The version with this alias or number."""

    def fetch(self, name: str, selector: str, destination: Path, *, only: Sequence[str] | None = None) -> ModelVersion:
        """Copies a version in the bundle's layout to the new folder `destination`, its sums checked.

        `only` limits it to files of these names and folders (as "model_int8.tflite", "Format-Serving"); the
        manifest of the copy then lists these alone. The folder appears complete or not at all.
        """


class Registry(Source, Protocol):
    """What the product asks of a model registry. Every failure is a RegistryError.

    A version is visible only when all its files are stored and verified; aliases point at visible versions.
    """

    def check(self, name: str, alias: str) -> None:
        """Raises RegistryError where no model could be published under this name and alias; asks nobody."""

    def register(
        self,
        bundle: Path,
        name: str,
        *,
        metrics: Metrics | None = None,
        tags: Mapping[str, str] | None = None,
        documents: Sequence[Path] = (),
    ) -> ModelVersion:
        """Stores the files of an exported bundle as a new version of `name`, `documents` beside them.

        When a version of this name already holds the same files, that one is returned and nothing is stored.
        """

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Points `alias` at a version, taking it from whichever version had it.

        The champion moves by `efficientdet.registry.promotion`, which records it.
        """

    def drop_alias(self, name: str, alias: str) -> None:
        """Takes an alias away, if there is such a one."""

    def notes(self, name: str) -> dict[str, str]:
        """What was noted with a name by key; nothing for a name that is not registered."""

    def note(self, name: str, key: str, value: str) -> None:
        """Notes one text of at most 5000 characters with a registered name, at once or not at all."""

    def unfinished(self, before: datetime, name: str | None = None) -> list[str]:
        """Ids of publishings, of one name or of all, that stored files before this moment and have no version."""

    def discard(self, publishing: str) -> None:
        """Removes what such a publishing stored."""

    def delete(self, name: str, version: str) -> None:
        """Removes a version without an alias, then its files; its number is never given again."""

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """The versions of one name or of all, names in order, newest first; none when there is no registry yet.

        One that is damaged where the registry can tell is left out, with a warning that names it; `get` says what is
        wrong with it.
        """

    def champion(self, name: str, alias: str = CHAMPION) -> ModelVersion | None:
        """The version `alias` points at, or None when the name or the alias does not exist."""

    def read(self, version: ModelVersion, path: str, target: Path) -> None:
        """Copies one stored file as it is now; what `target` holds already is taken for its beginning."""


def open_registry(uri: str | Path) -> Registry:
    """The registry in a folder (sqlite, files), at `sqlite:////abs/registry.db`, at an `http(s)://` MLflow server, or
    of Vertex AI at `vertex://PROJECT/LOCATION`, with `?bucket=NAME` for its files.

    Opening touches nothing; a local registry comes into being with its first `register`.
    """
    if str(uri).startswith("vertex:"):
        from efficientdet.registry.vertex import VertexRegistry

        return VertexRegistry(str(uri))
    from efficientdet.registry.mlflow import MlflowRegistry

    return MlflowRegistry(str(uri))


def find_baseline(registry: Registry, name: str, baseline: str) -> ModelVersion | None:
    """The version that a pipeline names as its baseline, by number or as `@alias`; None when there is no such one."""
    if baseline.startswith("@"):
        return registry.champion(name, baseline.removeprefix("@"))
    return next((version for version in registry.versions(name) if version.version == baseline), None)


def parse_reference(reference: str) -> tuple[str, str]:
    """`NAME@ALIAS` or `NAME@VERSION` as (name, alias or version); a bare NAME means its champion."""
    name, at, selector = reference.partition("@")
    if not _NAME.fullmatch(name) or (at and not _NAME.fullmatch(selector)):
        raise RegistryError(f"{reference!r}: not a model reference; write NAME, NAME@{CHAMPION} or NAME@3")
    return name, selector or CHAMPION


def rival_of(alias: str) -> str:
    """Whose version a model published under this alias is judged against: a candidate's rival is the champion."""
    return CHAMPION if alias == CANDIDATE else alias


def check_published_alias(alias: str) -> None:
    """Raises RegistryError unless new models can be published under this alias."""
    check_alias(alias)
    if alias == PREVIOUS:
        raise RegistryError(
            f"alias {alias!r}: is the champion before this one and moves by promotion alone; publish as {CHAMPION}, "
            f"as {CANDIDATE} to promote later, or under a word of your own"
        )


def check_name(name: str) -> None:
    """Raises RegistryError unless a model can be registered under this name."""
    if not _NAME.fullmatch(name):
        raise RegistryError(f"model name {name!r}: must begin with a letter or digit and go on with those and . _ -")


def check_alias(alias: str) -> None:
    """Raises RegistryError unless this can be an alias."""
    if not _ALIAS.fullmatch(alias) or _RESERVED_ALIAS.fullmatch(alias):
        raise RegistryError(
            f"alias {alias!r}: must be a word as {CHAMPION}, of letters, digits, _ and -, "
            "and no number, v<number> or latest"
        )
