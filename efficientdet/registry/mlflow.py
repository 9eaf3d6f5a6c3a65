"""MLflow's model registry as ours: on a laptop sqlite and files, for a team its server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Json, NonNegativeInt, ValidationError

from efficientdet.errors import TamperedError
from efficientdet.registry import ModelVersion, check_name
from efficientdet.registry.fetching import fetch_bundle, verify
from efficientdet.registry.mlflow_client import Location, again, tolerate
from efficientdet.registry.mlflow_errors import requests
from efficientdet.registry.mlflow_files import delete_files, download, runs_before, store
from efficientdet.registry.parcel import Parcel
from efficientdet.registry.version_store import Stored, VersionStore
from schemas.registry_entry import Sha256

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as StoredVersion

_PREFIX = "efficientdet."
"""Tags of a stored version that are ours; all others are the caller's."""


class _Tags(BaseModel):
    """What ours tell of a complete version."""

    metrics: Json[dict[str, dict[str, float | None]]]
    size: NonNegativeInt
    content: Sha256
    entry_sha256: Sha256


class MlflowRegistry(VersionStore):
    """A Registry in MLflow: the files of a version are artifacts of one run, everything else are its tags.

    A version is created last, in one transaction with the tag that calls it complete; so a process killed
    at any point leaves at most files that belong to no version. See `efficientdet.registry.Registry`.
    """

    def __init__(self, uri: str) -> None:
        self._location = Location.parse(uri)
        super().__init__(self._location.uri)

    def notes(self, name: str) -> dict[str, str]:
        """As Registry.notes: they are tags of MLflow's registered model."""
        check_name(name)
        if not self._location.exists:
            return {}
        with self._requests(f"reading the notes of {name}"):
            [*models] = _all(self._location.client.search_registered_models, f"name='{name}'")
        tags = models[0].tags if models else {}
        return {key.removeprefix(_PREFIX): value for key, value in tags.items() if key.startswith(_PREFIX)}

    def note(self, name: str, key: str, value: str) -> None:
        """As Registry.note."""
        with self._requests(f"noting {key} with {name}"):
            again(self._location.client.set_registered_model_tag, name, _PREFIX + key, value)

    def fetch(self, name: str, selector: str, destination: Path, *, only: Sequence[str] | None = None) -> ModelVersion:
        """As Registry.fetch; TamperedError names the first file that differs from what was registered."""
        version = self.get(name, selector)
        with self._requests(f"fetching {version}"):
            client = self._location.client
            run_id = again(client.get_model_version, name, version.version).run_id

            def copy(path: str, sha256: str, target: Path) -> None:
                download(client, run_id, path, target)
                verify(target, sha256, path, version)

            fetch_bundle(version, copy, destination, only)
        return version

    def read(self, version: ModelVersion, path: str, target: Path) -> None:
        """As Registry.read."""
        with self._requests(f"fetching {path} of {version}"):
            stored = again(self._location.client.get_model_version, version.name, version.version)
            download(self._location.client, stored.run_id, path, target)

    def unfinished(self, before: datetime, name: str | None = None) -> list[str]:
        """As Registry.unfinished: they are runs.

        A server may hide versions from this user, under whatever name; so of its runs none that stored everything is
        taken for unfinished: only then is a version made.
        """
        if not self._location.exists:
            return []
        with self._requests("looking for unfinished publishings"):
            client = self._location.client
            used = {version.run_id for version in _all(client.search_model_versions, None)}
            runs = runs_before(client, before, name, finished=not self._location.is_server)
            return [run for run in runs if run not in used]

    def discard(self, publishing: str) -> None:
        """As Registry.discard."""
        with self._requests(f"removing the files of run {publishing}"):
            delete_files(self._location.client, publishing)

    def _visible(self, name: str | None) -> Iterator[Stored]:
        if not self._location.exists:
            return
        client = self._location.client
        for model in _all(client.search_registered_models, f"name='{name}'" if name else None):
            for stored in _all(client.search_model_versions, f"name='{model.name}'"):
                if _is_complete(stored):
                    aliases = _aliases(stored, model.aliases)
                    yield Stored(stored.name, str(stored.version), aliases, partial(_as_ours, stored, aliases))

    def _publish(self, parcel: Parcel) -> None:
        self._location.create()
        self._create_version(parcel, store(self._location.client, parcel))

    def _take_back(self, twin: ModelVersion) -> None:
        with tolerate("RESOURCE_DOES_NOT_EXIST"):
            again(self._location.client.delete_model_version, twin.name, twin.version)

    def _point(self, name: str, alias: str, version: str) -> None:
        again(self._location.client.set_registered_model_alias, name, alias, version)

    def _take_alias(self, name: str, alias: str, version: str) -> None:
        with tolerate("RESOURCE_DOES_NOT_EXIST"):
            again(self._location.client.delete_registered_model_alias, name, alias)

    def _remove(self, name: str, version: str) -> None:
        client = self._location.client
        run_id = client.get_model_version(name, version).run_id
        again(client.delete_model_version, name, version)
        # a version that somebody copied to another name in MLflow's page has the same files
        if not any(_all(client.search_model_versions, f"run_id='{run_id}'")):
            delete_files(client, run_id)

    def _create_version(self, parcel: Parcel, run_id: str) -> None:
        client, entry = self._location.client, parcel.entry
        with tolerate("RESOURCE_ALREADY_EXISTS"):
            again(client.create_registered_model, entry.name)
        ours = {
            "complete": "true",
            "entry_sha256": parcel.sha256,
            "content": entry.content,
            "metrics": json.dumps(entry.metrics),
            "size": str(entry.size),
        }
        tags = {**entry.tags, **{_PREFIX + key: value for key, value in ours.items()}}
        source = again(client.get_run, run_id).info.artifact_uri
        # tried again after it was done unheard it makes a twin, which `_oldest` takes back
        again(client.create_model_version, entry.name, source, run_id, tags=tags, description=parcel.description)

    def _requests(self, doing: str) -> AbstractContextManager[None]:
        return requests(self.uri, doing)


def _is_complete(stored: StoredVersion) -> bool:
    return stored.status == "READY" and stored.tags.get(_PREFIX + "complete") == "true"


def _aliases(stored: StoredVersion, aliases: Mapping[str, Any]) -> tuple[str, ...]:
    """Of those of its name, which point at numbers, the ones that a version has."""
    return tuple(sorted(alias for alias, version in aliases.items() if str(version) == str(stored.version)))


def _as_ours(stored: StoredVersion, aliases: tuple[str, ...]) -> ModelVersion:
    """A stored version in our words; TamperedError where somebody changed our tags."""
    held = {key.removeprefix(_PREFIX): value for key, value in stored.tags.items() if key.startswith(_PREFIX)}
    try:
        ours = _Tags.model_validate(held)
    except ValidationError as error:
        tag = f"{_PREFIX}{error.errors()[0]['loc'][0]}"
        wrong = "is not what was registered" if tag in stored.tags else "is missing"
        raise TamperedError(
            f"tag {tag} of {stored.name}@{stored.version} {wrong}; restore it or register again"
        ) from error
    return ModelVersion(
        name=stored.name,
        version=str(stored.version),
        aliases=aliases,
        metrics=ours.metrics,
        created=datetime.fromtimestamp(stored.creation_timestamp / 1000, UTC),
        size=ours.size,
        content=ours.content,
        entry=ours.entry_sha256,
        tags={key: value for key, value in stored.tags.items() if not key.startswith(_PREFIX)},
    )


def _all(search: Callable[..., Any], condition: str | None) -> Iterator[Any]:
    """Every page of one of MLflow's searches."""
    token = None
    while True:
        page = again(search, filter_string=condition, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
