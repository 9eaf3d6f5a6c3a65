"""MLflow's model registry as ours: on a laptop sqlite and files, for a team its server."""

from __future__ import annotations

import difflib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.bundle import MANIFEST_FILE, read_manifest, verify_manifest, write_manifest
from efficientdet.errors import RegistryError
from efficientdet.registry import CHAMPION, Metrics, ModelVersion, check_alias, check_name
from efficientdet.registry.mlflow_client import Location, again, tolerate
from efficientdet.registry.mlflow_files import Parcel, delete_files, download, read_entry, store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as StoredVersion

_PREFIX = "efficientdet."
"""Tags of a stored version that are ours; all others are the caller's."""


class MlflowRegistry:
    """A Registry in MLflow: the files of a version are artifacts of one run, everything else are its tags.

    A version is created last, in one transaction with the tag that calls it complete; so a process killed
    at any point leaves at most files that belong to no version. See `efficientdet.registry.Registry`.
    """

    def __init__(self, uri: str) -> None:
        self._location = Location.parse(uri)
        self.uri = self._location.uri

    def register(
        self,
        bundle: Path,
        name: str,
        *,
        metrics: Metrics | None = None,
        tags: Mapping[str, str] | None = None,
        documents: Sequence[Path] = (),
    ) -> ModelVersion:
        """As Registry.register; raises ModelError when the bundle itself is not whole."""
        check_name(name)
        verify_manifest(bundle)
        with self._requests(f"registering {name}"):
            parcel = Parcel.pack(Path(bundle), name, metrics or {}, tags or {}, documents)
            self._location.create()
            if not self._same_content(name, parcel.entry.content):
                self._create_version(parcel, store(self._location.client, parcel))
            registered = self._same_content(name, parcel.entry.content)
        if registered is None:
            raise RegistryError(f"{self.uri}: the new version of {name} was deleted at once; register it again")
        return registered

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """As Registry.set_alias."""
        check_alias(alias)
        if alias not in self.get(name, version).aliases:
            with self._requests(f"setting {name}@{alias}"):
                again(self._location.client.set_registered_model_alias, name, alias, version)

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

    def delete(self, name: str, version: str) -> None:
        """As Registry.delete."""
        if aliases := self.get(name, version).aliases:
            raise RegistryError(f"{self.uri}: {name}@{version} is {' and '.join(aliases)}; it stays")
        with self._requests(f"deleting {name}@{version}"):
            client = self._location.client
            run_id = client.get_model_version(name, version).run_id
            again(client.delete_model_version, name, version)
            delete_files(client, run_id)

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """As Registry.versions."""
        if name is not None:
            check_name(name)
        if not self._location.exists:
            return []
        with self._requests("listing the models"):
            client = self._location.client
            found = [
                _visible(stored, model.aliases)
                for model in _all(client.search_registered_models, f"name='{name}'" if name else None)
                for stored in _all(client.search_model_versions, f"name='{model.name}'")
                if _is_complete(stored)
            ]
        return sorted(found, key=lambda version: (version.name, -int(version.version)))

    def get(self, name: str, selector: str = CHAMPION) -> ModelVersion:
        """As Registry.get; the sentence about an unknown name or alias tells the nearest ones."""
        known = self.versions(name)
        for version in known:
            if selector == version.version or selector in version.aliases:
                return version
        if not known:
            names = sorted({version.name for version in self.versions()})
            raise RegistryError(f"{self.uri}: there is no model {name!r}; {_nearest(name, names)}")
        selectors = [alias for version in known for alias in version.aliases] + [v.version for v in known]
        raise RegistryError(f"{self.uri}: {name} has no version or alias {selector!r}; {_nearest(selector, selectors)}")

    def champion(self, name: str, alias: str = CHAMPION) -> ModelVersion | None:
        """As Registry.champion."""
        return next((version for version in self.versions(name) if alias in version.aliases), None)

    def fetch(self, name: str, selector: str, destination: Path, *, only: Sequence[str] | None = None) -> ModelVersion:
        """As Registry.fetch; RegistryError names the first file that differs from what was registered."""
        version = self.get(name, selector)
        destination = Path(destination).absolute()
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise RegistryError(f"{destination}: exists and is not an empty folder; give a new one")
        with self._requests(f"fetching {version}"):
            client = self._location.client
            stored = client.get_model_version(name, version.version)
            entry = read_entry(client, stored.run_id, stored.tags[_PREFIX + "entry_sha256"])
            destination.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=destination.parent) as aside:
                folder = Path(aside) / "bundle"
                download(client, stored.run_id, entry.files, folder, [MANIFEST_FILE])
                manifest = read_manifest(folder)
                wanted = _wanted(str(version), entry.files, manifest["files"], only)
                download(client, stored.run_id, entry.files, folder, wanted)
                write_manifest(folder, **{key: value for key, value in manifest.items() if key != "files"})
                folder.replace(destination)
        return version

    def _same_content(self, name: str, content: str) -> ModelVersion | None:
        """The oldest version with this content; younger twins, of processes that raced us, are taken back."""
        same = [version for version in self.versions(name) if version.content == content]
        for twin in same[:-1]:
            if not twin.aliases:
                with tolerate("RESOURCE_DOES_NOT_EXIST"):
                    again(self._location.client.delete_model_version, name, twin.version)
        return same[-1] if same else None

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
        # tried again after it was done unheard it makes a twin, which `_same_content` takes back
        again(client.create_model_version, entry.name, source, run_id, tags=tags)

    @contextmanager
    def _requests(self, doing: str) -> Iterator[None]:
        """Whatever MLflow, its database or the disk refuses, as one sentence."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except RegistryError as error:
            raise RegistryError(f"{self.uri}: {doing} failed: {error}") from error
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise RegistryError(f"{self.uri}: {doing} failed ({reason})") from error


def _is_complete(stored: StoredVersion) -> bool:
    return stored.status == "READY" and stored.tags.get(_PREFIX + "complete") == "true"


def _visible(stored: StoredVersion, aliases: Mapping[str, Any]) -> ModelVersion:
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


def _wanted(version: str, files: Iterable[str], bundled: Iterable[str], only: Sequence[str] | None) -> list[str]:
    """The bundle's files, or those in or named by `only` with the label map and config that explain them."""
    if only is None:
        return sorted(bundled)
    for item in only:
        if not any(path == item or path.startswith(f"{item}/") for path in files):
            raise RegistryError(f"{version} holds no {item!r}; it holds {', '.join(sorted(files))}")
    chosen = {*only, label_map_file.FILE_NAME, config_file.FILE_NAME}
    return sorted(path for path in files if path in chosen or any(path.startswith(f"{item}/") for item in only))


def _nearest(word: str, known: Sequence[str]) -> str:
    if not known:
        return "nothing is registered there yet"
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:10])}"
