"""What registries do alike, whatever keeps their versions: publish whole ones, once, and let go only what is unused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from efficientdet.bundle import verify_manifest
from efficientdet.errors import RegistryError
from efficientdet.registry import CHAMPION, Metrics, ModelVersion, check_alias, check_name
from efficientdet.registry.parcel import Parcel


class VersionStore(ABC):
    """The part of a Registry that is told by what its store can do: the methods that begin with `_`."""

    uri: str

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
        self._check_new(name)
        verify_manifest(bundle)
        with self._requests(f"registering {name}"):
            parcel = Parcel.pack(Path(bundle), name, metrics or {}, tags or {}, documents)
            if not self._oldest(name, parcel.entry.content):
                self._publish(parcel)
            registered = self._oldest(name, parcel.entry.content)
        if registered is None:
            raise RegistryError(f"{self.uri}: the new version of {name} was deleted at once; register it again")
        return registered

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """As Registry.set_alias."""
        check_alias(alias)
        if alias not in self.get(name, version).aliases:
            with self._requests(f"setting {name}@{alias}"):
                self._point(name, alias, version)

    def delete(self, name: str, version: str) -> None:
        """As Registry.delete."""
        if aliases := self.get(name, version).aliases:
            raise RegistryError(f"{self.uri}: {name}@{version} is {' and '.join(aliases)}; it stays")
        with self._requests(f"deleting {name}@{version}"):
            self._remove(name, version)

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """As Registry.versions."""
        if name is not None:
            check_name(name)
        with self._requests("listing the models"):
            return sorted(self._visible(name), key=lambda version: (version.name, -int(version.version)))

    def _oldest(self, name: str, content: str) -> ModelVersion | None:
        """The oldest version with this content; younger twins, of processes that raced us, are taken back."""
        same = [version for version in self.versions(name) if version.content == content]
        for twin in same[:-1]:
            if not twin.aliases:
                self._take_back(twin)
        return same[-1] if same else None

    @abstractmethod
    def get(self, name: str, selector: str = CHAMPION) -> ModelVersion:
        """As Registry.get."""

    @abstractmethod
    def _check_new(self, name: str) -> None:
        """Raises RegistryError unless a model can be registered under this name."""

    @abstractmethod
    def _visible(self, name: str | None) -> Iterable[ModelVersion]:
        """The versions of one name or of all, in any order."""

    @abstractmethod
    def _publish(self, parcel: Parcel) -> None:
        """Stores the files, and then the version."""

    @abstractmethod
    def _take_back(self, twin: ModelVersion) -> None:
        """Removes a version without an alias, unless another process did."""

    @abstractmethod
    def _point(self, name: str, alias: str, version: str) -> None:
        """Moves an alias to a version that exists."""

    @abstractmethod
    def _remove(self, name: str, version: str) -> None:
        """Removes a version that exists, then its files."""

    @abstractmethod
    def _requests(self, doing: str) -> AbstractContextManager[None]:
        """Turns what the store or the network refuses in the block into a RegistryError."""
