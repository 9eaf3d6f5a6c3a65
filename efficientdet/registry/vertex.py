"""Vertex AI's Model Registry as ours: versions and aliases are Vertex's, files and notes lie in a bucket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from efficientdet.errors import RegistryError
from efficientdet.registry import CHAMPION, ModelVersion, check_name
from efficientdet.registry.fetching import fetch_bundle, verify
from efficientdet.registry.parcel import Parcel
from efficientdet.registry.version_store import Stored, VersionStore
from efficientdet.registry.vertex_client import Place, requests
from efficientdet.registry.vertex_files import VertexFiles

_LABEL = {"managed-by": "efficientdet"}
_DEFAULT = "default"
"""An alias that Vertex itself gives to the version that it serves; it follows the champion."""
_MODEL_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
# Vertex asks for an image where there are files; nobody serves a model of ours from it
_IMAGE = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"


class VertexRegistry(VersionStore):
    """A Registry on Google Cloud. A version is created last; its folder is named by the sum of its entry.

    See `efficientdet.registry.Registry`.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._place = Place.parse(uri)
        self._files = VertexFiles(self._place.project, self._place.location, self._place.bucket)

    def notes(self, name: str) -> dict[str, str]:
        """As Registry.notes: they are objects of the bucket."""
        check_name(name)
        with self._requests(f"reading the notes of {name}"):
            return self._files.notes(name)

    def note(self, name: str, key: str, value: str) -> None:
        """As Registry.note."""
        with self._requests(f"noting {key} with {name}"):
            self._files.note(name, key, value)

    def unfinished(self, before: datetime, name: str | None = None) -> list[str]:
        """As Registry.unfinished: they are folders of the bucket.

        Those of a model that Vertex or the notes know, and of which it shows no version of ours, are none.
        """
        with self._requests("looking for unfinished publishings"):
            unused = list[str]()
            for model, folders in self._files.folders(before, name).items():
                versions = self._versions(model)
                if any(map(_is_ours, versions)) or not (versions or self._files.notes(model)):
                    unused += folders - {self._files.folder_of(stored.artifact_uri) for stored in versions}
            return sorted(map(self._files.address, unused))

    def discard(self, publishing: str) -> None:
        """As Registry.discard."""
        with self._requests(f"removing {publishing}"):
            self._files.delete(publishing)

    def fetch(self, name: str, selector: str, destination: Path, *, only: Sequence[str] | None = None) -> ModelVersion:
        """As Registry.fetch."""
        version = self.get(name, selector)

        def copy(path: str, sha256: str, target: Path) -> None:
            self.read(version, path, target)
            verify(target, sha256, path, version)

        with self._requests(f"fetching {version}"):
            fetch_bundle(version, copy, destination, only)
        return version

    def read(self, version: ModelVersion, path: str, target: Path) -> None:
        """As Registry.read."""
        with self._requests(f"fetching {path} of {version}"):
            self._files.download(self._files.folder(version.name, version.entry), path, target)

    def _check_name(self, name: str) -> None:
        super()._check_name(name)
        if not _MODEL_ID.fullmatch(name):
            raise RegistryError(
                f"model name {name!r}: Vertex takes up to 63 lower-case letters, digits, _ and - alone, no digit first"
            )

    def _check_alias(self, alias: str) -> None:
        super()._check_alias(alias)
        if alias == _DEFAULT:
            raise RegistryError(f"alias {alias!r}: is Vertex's own, and follows the {CHAMPION}; give another word")
        if not _ALIAS.fullmatch(alias):
            raise RegistryError(
                f"alias {alias!r}: Vertex takes 2 to 128 letters, digits and - alone, of which the first is a "
                "lower-case letter and the last one or a digit"
            )

    def _visible(self, name: str | None) -> Iterator[Stored]:
        for each in self._models() if name is None else [name]:
            for stored in self._stored(each):
                yield Stored(each, stored.version_id, _aliases(stored), partial(self._as_ours, each, stored))

    def _publish(self, parcel: Parcel) -> None:
        from google.api_core.exceptions import Conflict
        from google.cloud.aiplatform_v1.types import Model, ModelContainerSpec, UploadModelRequest

        name = parcel.entry.name
        model = Model(
            display_name=name,
            labels=_LABEL,
            version_description=parcel.description,
            artifact_uri=self._files.store(parcel),
            container_spec=ModelContainerSpec(image_uri=_IMAGE),
        )
        first = UploadModelRequest(parent=self._place.parent, model_id=name, model=model)
        later = UploadModelRequest(parent=self._place.parent, parent_model=self._path(name), model=model)
        if self._stored(name):
            return self._place.client.upload_model(later).result()
        try:
            return self._place.client.upload_model(first).result()
        except Conflict:  # another process was first: AlreadyExists by gRPC, a bare 409 by REST
            return self._place.client.upload_model(later).result()

    def _take_back(self, twin: ModelVersion) -> None:
        with suppress(RegistryError):  # another process took it back, or somebody uses it
            self.delete(twin.name, twin.version)

    def _point(self, name: str, alias: str, version: str) -> None:
        self._merge(name, version, [alias, *([_DEFAULT] if alias == CHAMPION else [])])

    def _take_alias(self, name: str, alias: str, version: str) -> None:
        self._merge(name, version, [f"-{alias}"])

    def _remove(self, name: str, version: str) -> None:
        stored = self._stored(name)
        if len(stored) == 1:
            raise RegistryError(f"{name}@{version} is the only version, and Vertex keeps one of each model; it stays")
        [gone] = [each for each in stored if each.version_id == version]
        if _DEFAULT in gone.version_aliases:
            raise RegistryError(
                f"{name}@{version} is Vertex's default version, which it does not delete; it stays until another is "
                f"the {CHAMPION}"
            )
        self._place.client.delete_model_version(name=f"{self._path(name)}@{version}").result()
        self._files.delete(gone.artifact_uri)

    def _stored(self, name: str) -> list[Any]:
        """Vertex's versions of one of our models; nothing when there is no such model."""
        return [stored for stored in self._versions(name) if _is_ours(stored)]

    def _versions(self, name: str) -> list[Any]:
        """All of Vertex's versions of a model, also those whose label somebody replaced."""
        from google.api_core.exceptions import NotFound

        try:
            return list(self._place.client.list_model_versions(name=self._path(name)))
        except NotFound:
            return []

    def _models(self) -> list[str]:
        listed = self._place.client.list_models(
            {"parent": self._place.parent, "filter": " AND ".join(f'labels.{k}="{v}"' for k, v in _LABEL.items())}
        )
        return sorted({model.name.rpartition("/")[2].partition("@")[0] for model in listed})

    def _as_ours(self, name: str, stored: Any) -> ModelVersion:
        entry, sha256 = self._files.entry(stored.artifact_uri)
        return ModelVersion(
            name=name,
            version=stored.version_id,
            aliases=_aliases(stored),
            metrics=entry.metrics,
            created=stored.version_create_time,
            size=entry.size,
            content=entry.content,
            entry=sha256,
            tags=entry.tags,
        )

    def _merge(self, name: str, version: str, aliases: list[str]) -> None:
        self._place.client.merge_version_aliases(name=f"{self._path(name)}@{version}", version_aliases=aliases)

    def _path(self, name: str) -> str:
        return f"{self._place.parent}/models/{name}"

    def _requests(self, doing: str) -> AbstractContextManager[None]:
        return requests(self.uri, doing)


def _is_ours(stored: Any) -> bool:
    return dict(stored.labels).items() >= _LABEL.items()


def _aliases(stored: Any) -> tuple[str, ...]:
    """Those that are not Vertex's own."""
    return tuple(sorted(set(stored.version_aliases) - {_DEFAULT}))
