"""MLflow's model registry as ours: on a laptop sqlite and files, for a team its server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efficientdet.registry import CHAMPION, ModelVersion, check_name
from efficientdet.registry.fetching import fetch_bundle, verify
from efficientdet.registry.mlflow_client import Location, again, tolerate
from efficientdet.registry.mlflow_errors import requests
from efficientdet.registry.mlflow_files import delete_files, download, runs_before, store
from efficientdet.registry.parcel import Parcel
from efficientdet.registry.selection import select
from efficientdet.registry.version_store import VersionStore

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as StoredVersion

_PREFIX = "efficientdet."
"""Tags of a stored version that are ours; all others are the caller's."""


class MlflowRegistry(VersionStore):
    """A Registry in MLflow: the files of a version are artifacts of one run, everything else are its tags.

    A version is created last, in one transaction with the tag that calls it complete; so a process killed
    at any point leaves at most files that belong to no version. See `efficientdet.registry.Registry`.
    """

    def __init__(self, uri: str) -> None:
        self._location = Location.parse(uri)
        self.uri = self._location.uri

    def drop_alias(self, name: str, alias: str) -> None:
        """As Registry.drop_alias."""
        if self.champion(name, alias):
            with self._requests(f"taking {name}@{alias} away"), tolerate("RESOURCE_DOES_NOT_EXIST"):
                again(self._location.client.delete_registered_model_alias, name, alias)

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

    def get(self, name: str, selector: str = CHAMPION) -> ModelVersion:
        """As Registry.get; the sentence about an unknown name or alias tells the nearest ones."""
        return select(self.uri, name, selector, self.versions(name), lambda: sorted({v.name for v in self.versions()}))

    def champion(self, name: str, alias: str = CHAMPION) -> ModelVersion | None:
        """As Registry.champion."""
        return next((version for version in self.versions(name) if alias in version.aliases), None)

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
        """As Registry.unfinished: they are runs. Those of models that the user may not read are left alone."""
        if not self._location.exists:
            return []
        with self._requests("looking for unfinished publishings"):
            client = self._location.client
            used = {version.run_id for version in _all(client.search_model_versions, None)}
            unused = {run: of for run, of in runs_before(client, before, name).items() if run not in used}
            hidden = {model for model in set(unused.values()) if self._is_hidden(model)}
            return [run for run, of in unused.items() if of not in hidden]

    def discard(self, publishing: str) -> None:
        """As Registry.discard."""
        with self._requests(f"removing the files of run {publishing}"):
            delete_files(self._location.client, publishing)

    def _check_new(self, name: str) -> None:
        check_name(name)

    def _visible(self, name: str | None) -> Iterator[ModelVersion]:
        if not self._location.exists:
            return
        client = self._location.client
        for model in _all(client.search_registered_models, f"name='{name}'" if name else None):
            for stored in _all(client.search_model_versions, f"name='{model.name}'"):
                if _is_complete(stored):
                    yield _as_ours(stored, model.aliases)

    def _publish(self, parcel: Parcel) -> None:
        self._location.create()
        self._create_version(parcel, store(self._location.client, parcel))

    def _is_hidden(self, name: str) -> bool:
        """Whether the server shows this user no versions of a model that there may be."""
        from mlflow.exceptions import MlflowException

        try:
            with tolerate("RESOURCE_DOES_NOT_EXIST"):
                again(self._location.client.get_registered_model, name)
        except MlflowException as error:
            if error.error_code != "PERMISSION_DENIED":
                raise
            return True
        return False

    def _take_back(self, twin: ModelVersion) -> None:
        with tolerate("RESOURCE_DOES_NOT_EXIST"):
            again(self._location.client.delete_model_version, twin.name, twin.version)

    def _point(self, name: str, alias: str, version: str) -> None:
        again(self._location.client.set_registered_model_alias, name, alias, version)

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


def _as_ours(stored: StoredVersion, aliases: Mapping[str, Any]) -> ModelVersion:
    """A stored version in our words; `aliases` are those of its name, pointing at version numbers."""
    ours = {key.removeprefix(_PREFIX): value for key, value in stored.tags.items() if key.startswith(_PREFIX)}
    return ModelVersion(
        name=stored.name,
        version=str(stored.version),
        aliases=tuple(sorted(alias for alias, version in aliases.items() if str(version) == str(stored.version))),
        metrics=json.loads(ours["metrics"]),
        created=datetime.fromtimestamp(stored.creation_timestamp / 1000, UTC),
        size=int(ours["size"]),
        content=ours["content"],
        entry=ours["entry_sha256"],
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
