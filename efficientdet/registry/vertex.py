"""Vertex AI's Model Registry as ours: versions and aliases are Vertex's, files and notes lie in a bucket."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from efficientdet.bundle import verify_manifest
from efficientdet.errors import RegistryError
from efficientdet.registry import CHAMPION, Metrics, ModelVersion, check_alias, check_name
from efficientdet.registry.fetching import fetch_bundle, verify
from efficientdet.registry.parcel import Parcel
from efficientdet.registry.selection import select
from efficientdet.registry.vertex_client import Place, requests
from efficientdet.registry.vertex_files import VertexFiles

_LABEL = {"managed-by": "efficientdet"}
_DEFAULT = "default"
"""An alias that Vertex itself gives to the version that it serves; it follows the champion."""
_MODEL_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# Vertex asks for an image where there are files; nobody serves a model of ours from it
_IMAGE = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"


class VertexRegistry:
    """A Registry on Google Cloud. A version is created last; its folder is named by the sum of its entry.

    See `efficientdet.registry.Registry`.
    """

    def __init__(self, uri: str) -> None:
        self.uri, self._place = uri, Place.parse(uri)
        self._files = VertexFiles(self._place.project, self._place.location, self._place.bucket)

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
        self._check_id(name)
        verify_manifest(bundle)
        with self._requests(f"registering {name}"):
            parcel = Parcel.pack(Path(bundle), name, metrics or {}, tags or {}, documents)
            if not self._same_content(name, parcel.entry.content):
                self._upload(parcel, self._files.store(parcel))
            registered = self._same_content(name, parcel.entry.content)
        if registered is None:
            raise RegistryError(f"{self.uri}: the new version of {name} was deleted at once; register it again")
        return registered

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """As Registry.set_alias."""
        check_alias(alias)
        if alias not in self.get(name, version).aliases:
            follows = [_DEFAULT] if alias == CHAMPION else []
            self._merge(f"setting {name}@{alias}", f"{self._path(name)}@{version}", [alias, *follows])

    def drop_alias(self, name: str, alias: str) -> None:
        """As Registry.drop_alias."""
        if held := self.champion(name, alias):
            self._merge(f"taking {name}@{alias} away", f"{self._path(name)}@{held.version}", [f"-{alias}"])

    def notes(self, name: str) -> dict[str, str]:
        """As Registry.notes: they are objects of the bucket."""
        check_name(name)
        with self._requests(f"reading the notes of {name}"):
            return self._files.notes(name)

    def note(self, name: str, key: str, value: str) -> None:
        """As Registry.note."""
        with self._requests(f"noting {key} with {name}"):
            self._files.note(name, key, value)

    def unfinished(self, before: datetime) -> list[str]:
        """As Registry.unfinished: they are folders of the bucket."""
        with self._requests("looking for unfinished publishings"):
            used = {stored.artifact_uri for model in self._models() for stored in self._stored(model)}
            return sorted(self._files.folders(before) - used)

    def discard(self, publishing: str) -> None:
        """As Registry.discard."""
        with self._requests(f"removing {publishing}"):
            self._files.delete(publishing)

    def delete(self, name: str, version: str) -> None:
        """As Registry.delete."""
        if aliases := self.get(name, version).aliases:
            raise RegistryError(f"{self.uri}: {name}@{version} is {' and '.join(aliases)}; it stays")
        with self._requests(f"deleting {name}@{version}"):
            [artifact_uri] = [each.artifact_uri for each in self._stored(name) if each.version_id == version]
            self._place.client.delete_model_version(name=f"{self._path(name)}@{version}").result()
            self._files.delete(artifact_uri)

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """As Registry.versions; it reads the entry of each."""
        if name is not None:
            check_name(name)
        with self._requests("listing the models"):
            names = self._models() if name is None else [name]
            found = [self._visible(each, stored) for each in names for stored in self._stored(each)]
        return sorted(found, key=lambda version: (version.name, -int(version.version)))

    def get(self, name: str, selector: str = CHAMPION) -> ModelVersion:
        """As Registry.get."""
        with self._requests("listing the models"):
            return select(self.uri, name, selector, self.versions(name), self._models)

    def champion(self, name: str, alias: str = CHAMPION) -> ModelVersion | None:
        """As Registry.champion."""
        return next((version for version in self.versions(name) if alias in version.aliases), None)

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

    def _upload(self, parcel: Parcel, artifact_uri: str) -> None:
        from google.api_core.exceptions import AlreadyExists
        from google.cloud.aiplatform_v1.types import Model, ModelContainerSpec, UploadModelRequest

        name = parcel.entry.name
        model = Model(
            display_name=name,
            labels=_LABEL,
            version_description=parcel.description,
            artifact_uri=artifact_uri,
            container_spec=ModelContainerSpec(image_uri=_IMAGE),
        )
        first = UploadModelRequest(parent=self._place.parent, model_id=name, model=model)
        later = UploadModelRequest(parent=self._place.parent, parent_model=self._path(name), model=model)
        if self._stored(name):
            return self._place.client.upload_model(later).result()
        try:
            return self._place.client.upload_model(first).result()
        except AlreadyExists:
            return self._place.client.upload_model(later).result()

    def _same_content(self, name: str, content: str) -> ModelVersion | None:
        """The oldest version with this content; younger twins, of processes that raced us, are taken back."""
        from google.api_core.exceptions import NotFound

        same = [version for version in self.versions(name) if version.content == content]
        for twin in same[:-1]:
            try:
                self.delete(name, twin.version)
            except (NotFound, RegistryError):
                continue  # another process took it back, or somebody uses it
        return same[-1] if same else None

    def _stored(self, name: str) -> list[Any]:
        """Vertex's versions of one of our models; nothing when there is no such model."""
        from google.api_core.exceptions import NotFound

        try:
            found = list(self._place.client.list_model_versions(name=self._path(name)))
        except NotFound:
            return []
        return [stored for stored in found if dict(stored.labels).items() >= _LABEL.items()]

    def _models(self) -> list[str]:
        listed = self._place.client.list_models(
            {"parent": self._place.parent, "filter": " AND ".join(f'labels.{k}="{v}"' for k, v in _LABEL.items())}
        )
        return sorted({model.name.rpartition("/")[2].partition("@")[0] for model in listed})

    def _visible(self, name: str, stored: Any) -> ModelVersion:
        entry, sha256 = self._files.entry(stored.artifact_uri)
        return ModelVersion(
            name=name,
            version=stored.version_id,
            aliases=tuple(sorted(set(stored.version_aliases) - {_DEFAULT})),
            metrics=entry.metrics,
            created=stored.version_create_time,
            size=entry.size,
            content=entry.content,
            entry=sha256,
            tags=entry.tags,
        )

    def _merge(self, doing: str, path: str, aliases: list[str]) -> None:
        with self._requests(doing):
            self._place.client.merge_version_aliases(name=path, version_aliases=aliases)

    def _path(self, name: str) -> str:
        return f"{self._place.parent}/models/{name}"

    def _check_id(self, name: str) -> None:
        check_name(name)
        if not _MODEL_ID.fullmatch(name):
            raise RegistryError(f"model name {name!r}: Vertex takes up to 63 lower-case letters, digits, _ and - alone")

    def _requests(self, doing: str) -> AbstractContextManager[None]:
        return requests(self.uri, doing)
