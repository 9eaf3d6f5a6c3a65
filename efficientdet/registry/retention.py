"""Which versions may go: old ones that nobody is told to use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from efficientdet.errors import RegistryError, UnreachableError
from efficientdet.registry import ModelVersion, Registry
from efficientdet.registry.promotion import in_use

UNFINISHED_AFTER = timedelta(days=1)
"""A publishing that has stored files for longer than this without a version is taken for dead."""


@dataclass(frozen=True)
class Policy:
    """A version may go when it has no alias, and every bound that is given lets it go.

    Attributes:
      keep: this many of the newest of each name stay.
      older_than: what is younger stays.
    """

    keep: int | None = None
    older_than: timedelta | None = None

    def __post_init__(self) -> None:
        if self.keep is None and self.older_than is None:
            raise RegistryError("say which versions may go: with --keep, --older-than, or both")

    def expired(self, versions: Iterable[ModelVersion], now: datetime) -> list[ModelVersion]:
        """Those of `versions`, which come as Registry.versions gives them, that may go; oldest first."""
        gone = []
        for _, each in groupby(versions, key=lambda version: version.name):
            old = list(each)[self.keep or 0 :]
            gone += [v for v in old if not v.aliases and (not self.older_than or now - v.created > self.older_than)]
        return gone[::-1]


@dataclass(frozen=True)
class Garbage:
    """What a registry can do without: versions, and ids of publishings that were never finished."""

    versions: list[ModelVersion]
    unfinished: list[str]

    @property
    def size(self) -> int:
        """Bytes of the versions."""
        return sum(version.size for version in self.versions)


def garbage(registry: Registry, policy: Policy, name: str | None = None) -> Garbage:
    """What may go of one name or of all; what champion and previous are by the log of promotions stays too."""
    now, versions = datetime.now(UTC), registry.versions(name)
    used = {(each, number) for each in {v.name for v in versions} for number in in_use(registry, each)}
    expired = [v for v in policy.expired(versions, now) if (v.name, v.version) not in used]
    return Garbage(expired, registry.unfinished(now - UNFINISHED_AFTER, name))


def collect(registry: Registry, found: Garbage) -> tuple[Garbage, dict[str, str]]:
    """Deletes it; returns what is gone, and why the rest stayed, a reason by `name@version` or id.

    Raises UnreachableError when the registry is no longer there.
    """
    gone, stayed = Garbage([], []), dict[str, str]()
    for version in found.versions:
        with _reason_in(stayed, str(version)):
            _check_unused(registry, version)
            registry.delete(version.name, version.version)
            gone.versions.append(version)
    for publishing in found.unfinished:
        with _reason_in(stayed, publishing):
            registry.discard(publishing)
            gone.unfinished.append(publishing)
    return gone, stayed


@contextmanager
def _reason_in(stayed: dict[str, str], what: str) -> Iterator[None]:
    """Keeps the registry's refusal, so that what comes after can go on."""
    try:
        yield
    except UnreachableError:
        raise
    except RegistryError as error:
        stayed[what] = str(error)


def _check_unused(registry: Registry, version: ModelVersion) -> None:
    """Raises RegistryError for a version that was deleted or came into use since it was found."""
    held = {each.version: each for each in registry.versions(version.name)}.get(version.version)
    if held is None:
        raise RegistryError("it is gone already")
    if held.aliases or held.version in in_use(registry, held.name):
        raise RegistryError(f"it is {' and '.join(held.aliases) or 'champion or previous by the log'} since")
