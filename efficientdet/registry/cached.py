"""A registry as a consumer sees it: through a cache, and without the registry when that is out of reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from efficientdet.errors import NoRoomError, TamperedError, UnreachableError
from efficientdet.registry import CHAMPION, ModelVersion, Registry, Source, check_name
from efficientdet.registry.blob_cache import VARIABLE, BlobCache
from efficientdet.registry.fetching import differs, fetch_bundle
from efficientdet.registry.selection import select

Say = Callable[[str], None]


class CachedRegistry:
    """Answers `get` and `fetch` of a Registry.

    What was fetched once is not fetched again, what broke off goes on where it stopped, and when nobody answers, what
    the registry last said is taken instead; `say` gets a sentence then.
    """

    def __init__(self, registry: Registry, cache: BlobCache, say: Say, offline: bool = False) -> None:
        self.uri = registry.uri
        self._registry, self._cache, self._say, self._offline = registry, cache, say, offline

    def get(self, name: str, selector: str = CHAMPION) -> ModelVersion:
        """As Registry.get; UnreachableError when nobody answers, and the cache knows nothing of this name."""
        versions = self._versions(name)
        if self._offline or any(selector in (version.version, *version.aliases) for version in versions):
            return select(self.uri, name, selector, versions, list)
        return self._registry.get(name, selector)  # which says what is wrong with it, or what there is instead

    def fetch(self, name: str, selector: str, destination: Path, *, only: Sequence[str] | None = None) -> ModelVersion:
        """As Registry.fetch."""
        version = self.get(name, selector)

        def copy(path: str, sha256: str, target: Path) -> None:
            if not self._cache.copy(sha256, target, lambda partial: self._download(version, path, partial)):
                raise TamperedError(f"{self.uri}: {differs(path, str(version))}")

        try:
            fetch_bundle(version, copy, destination, only)
        except OSError as error:
            raise NoRoomError(
                f"{error.filename or self._cache.folder}: {error.strerror or error}; make room or check who may write "
                f"there, and pull again, which goes on where it stopped ({VARIABLE} names another cache)"
            ) from error
        return version

    def _versions(self, name: str) -> list[ModelVersion]:
        check_name(name)
        if not self._offline:
            try:
                versions = self._registry.versions(name)
            except UnreachableError as error:
                unreachable = error
            else:
                with suppress(OSError):  # a full disk is said when there is a file to write
                    self._cache.remember(self.uri, name, versions)
                return versions
        else:
            unreachable = UnreachableError(f"{self.uri}: was not asked")
        recalled = self._cache.recall(self.uri, name)
        if not recalled:
            raise UnreachableError(f"{unreachable}; the cache {self._cache.folder} knows nothing of {name} either")
        if not self._offline:
            self._offline = True
            self._say(f"{unreachable}; going by what it said last")
        return recalled

    def _download(self, version: ModelVersion, path: str, partial: Path) -> None:
        if self._offline:
            raise UnreachableError(
                f"{self.uri}: {path} of {version} is not in the cache {self._cache.folder}; pull it once with the "
                "registry in reach"
            )
        self._registry.read(version, path, partial)


def for_consumer(registry: Registry, say: Say, offline: bool = False) -> Source:
    """The registry through the user's cache; as it is when it lies in a folder, or where there can be no cache."""
    if not registry.uri.startswith(("http://", "https://", "vertex://")):
        return registry
    try:
        return CachedRegistry(registry, BlobCache.of_user(), say, offline)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}; what is pulled is not cached, {VARIABLE} names a folder"
        if offline:
            raise UnreachableError(reason) from error
        say(reason)
        return registry
