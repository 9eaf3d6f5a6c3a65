"""What registries do alike, whatever keeps their versions: publish whole ones, once, and let go only what is unused."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from efficientdet.bundle import verify_manifest
from efficientdet.errors import RegistryError, TamperedError
from efficientdet.registry import (
    CHAMPION,
    Metrics,
    ModelVersion,
    check_alias,
    check_name,
    check_published_alias,
)
from efficientdet.registry.parcel import Parcel
from efficientdet.registry.selection import select

logger = logging.getLogger(__name__)


class Stored(NamedTuple):
    """A version as its store lists it; `read` raises TamperedError when what is kept of it is damaged."""

    name: str
    version: str
    aliases: tuple[str, ...]
    read: Callable[[], ModelVersion]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class VersionStore(ABC):
    """The part of a Registry that is told by what its store can do: the methods that begin with `_`."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._left_out = set[str]()

    def check(self, name: str, alias: str) -> None:
        """As Registry.check."""
        self._check_name(name)
        check_published_alias(alias)
        self._check_alias(alias)

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
        self._check_name(name)
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
        self._check_alias(alias)
        if alias not in self.get(name, version).aliases:
            with self._requests(f"setting {name}@{alias}"):
                self._point(name, alias, version)

    def drop_alias(self, name: str, alias: str) -> None:
        """As Registry.drop_alias."""
        check_name(name)
        with self._requests(f"taking {name}@{alias} away"):
            if held := self._find(name, alias):
                self._take_alias(name, alias, held.version)

    def get(self, name: str, selector: str = CHAMPION) -> ModelVersion:
        """As Registry.get; the sentence about an unknown name or alias tells the nearest ones."""
        check_name(name)
        with self._requests(f"looking up {name}@{selector}"):
            if stored := self._find(name, selector):
                return stored.read()
            others = (each.name for each in self._visible(None) if each.name != name)
            return select(self.uri, name, selector, self.versions(name), lambda: sorted(set(others)))

    def champion(self, name: str, alias: str = CHAMPION) -> ModelVersion | None:
        """As Registry.champion; raises TamperedError when that version is damaged."""
        check_name(name)
        with self._requests(f"looking up {name}@{alias}"):
            stored = self._find(name, alias)
            return stored.read() if stored else None

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
            return sorted(self._whole(name), key=lambda version: (version.name, -int(version.version)))

    def _whole(self, name: str | None) -> Iterator[ModelVersion]:
        """The versions of one name or of all that are not damaged; says once of each of the others what is wrong."""
        for stored in self._visible(name):
            try:
                yield stored.read()
            except TamperedError as error:  # or it was deleted while we listed it
                if str(stored) not in self._left_out:
                    self._left_out.add(str(stored))
                    logger.warning("%s: %s is left out: %s", self.uri, stored, error)

    def _find(self, name: str, selector: str) -> Stored | None:
        """The version with this alias or number, damaged or not, if there is such a one."""
        named = (stored for stored in self._visible(name) if selector in (stored.version, *stored.aliases))
        return next(named, None)

    def _oldest(self, name: str, content: str) -> ModelVersion | None:
        """The oldest version with this content; younger twins, of processes that raced us, are taken back."""
        same = [version for version in self.versions(name) if version.content == content]
        for twin in same[:-1]:
            if not twin.aliases:
                self._take_back(twin)
        return same[-1] if same else None

    def _check_name(self, name: str) -> None:
        """Raises RegistryError unless a model can be registered under this name."""
        check_name(name)

    def _check_alias(self, alias: str) -> None:
        """Raises RegistryError unless this can be an alias."""
        check_alias(alias)

    @abstractmethod
    def _visible(self, name: str | None) -> Iterable[Stored]:
        """The complete versions of one name or of all, in any order."""

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
    def _take_alias(self, name: str, alias: str, version: str) -> None:
        """Takes an alias from the version that has it."""

    @abstractmethod
    def _remove(self, name: str, version: str) -> None:
        """Removes a version that exists, then its files."""

    @abstractmethod
    def _requests(self, doing: str) -> AbstractContextManager[None]:
        """Turns what the store or the network refuses in the block into a RegistryError."""
