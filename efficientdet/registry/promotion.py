"""Who became champion, when, by whom and why: a log kept with the model's name, which its aliases follow.

A promotion is one note, added at once or not at all and never changed. The aliases are then moved to what the log
says; whoever promotes next finishes that first, when the process before was killed between the two.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from efficientdet.errors import RegistryError, printable
from efficientdet.registry import CANDIDATE, CHAMPION, PREVIOUS, Registry

_LOG, _SETTLED = "promotion.", "promotions_settled"
SLOWEST = timedelta(minutes=1)
"""How late a process may move the aliases to its own entry, though there is a newer one; later a person did."""
_LONGEST_REASON = 1000


class Promotion(BaseModel):
    """One change of the champion; `before` is the version that was it, None where none was; `at` in UTC.

    A `found` one was made by other means than promotion, and noticed by the next.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    act: Literal["promote", "rollback", "found"]
    version: str
    before: str | None
    by: str
    at: AwareDatetime
    reason: str

    def __str__(self) -> str:
        done = {
            "promote": "{} promoted {}",
            "rollback": "{} rolled back to {}",
            "found": "somebody set the alias on {1}",
        }
        act = done[self.act].format(self.by, self.version)
        return f"{act} at {self.at.isoformat(timespec='seconds')}: {self.reason}"


def promote(registry: Registry, name: str, selector: str, by: str, reason: str) -> Promotion | None:
    """Makes the version with this alias or number the champion, and the champion before it `previous`.

    The version is no candidate any more. None when it is the champion already; then nothing is recorded. Of two
    processes that promote at the same moment both are recorded, and the same one comes last for everybody.

    Raises RegistryError when there is no such version, or no reason.
    """
    reason = _checked(reason)
    log, champion = _caught_up(registry, name)
    version = registry.get(name, selector).version
    if version == champion:
        return None
    return _record(registry, name, log, champion, "promote", version, by, reason)


def rollback(registry: Registry, name: str, by: str, reason: str) -> Promotion:
    """Makes `previous` the champion again, and the champion `previous`; a second rollback undoes the first.

    Raises RegistryError when there is no previous champion, or no reason.
    """
    reason = _checked(reason)
    log, champion = _caught_up(registry, name)
    _, previous = _champion_and_previous(log)
    if previous is None or previous not in _aliases(registry, name):
        registry.get(name)
        raise RegistryError(
            f"{registry.uri}: {name} had no champion before this one; name a version, with `promote {name}@VERSION`"
        )
    return _record(registry, name, log, champion, "rollback", previous, by, reason)


def replacement(registry: Registry, name: str, version: str) -> Promotion | None:
    """The change by which a version that was the champion ceased to be; None when it is the champion or never was."""
    log, _ = _caught_up(registry, name)
    after = [later for earlier, later in pairwise(log) if earlier.version == version]
    return after[-1] if after and log[-1].version != version else None


def promotions(registry: Registry, name: str) -> list[Promotion]:
    """Every change of the champion, oldest first."""
    return [promotion for _, promotion in _log(registry, name, registry.notes(name))]


def in_use(registry: Registry, name: str) -> set[str]:
    """The versions that are champion and previous by the log, also where the aliases do not follow it yet."""
    return {version for version in _champion_and_previous(promotions(registry, name)) if version}


def _champion_and_previous(log: list[Promotion]) -> tuple[str | None, str | None]:
    champion = log[-1].version if log else None
    return champion, next((entry.version for entry in reversed(log) if entry.version != champion), None)


def _record(
    registry: Registry,
    name: str,
    log: list[Promotion],
    before: str | None,
    act: Literal["promote", "rollback", "found"],
    version: str,
    by: str,
    reason: str,
) -> Promotion:
    made = Promotion(
        number=log[-1].number + 1 if log else 1,
        act=act,
        version=version,
        before=before,
        by=printable(by),
        at=datetime.now(UTC),
        reason=reason,
    )
    # two that promote at once take the same number; what is behind it puts them in one order for everybody
    registry.note(name, f"{_LOG}{made.number:06d}.{uuid4().hex[:8]}", made.model_dump_json())
    _settle(registry, name)
    return made


def _caught_up(registry: Registry, name: str) -> tuple[list[Promotion], str | None]:
    """The log, after the aliases follow it and it tells of a champion that somebody set by hand; and the champion.

    There is none where somebody took its alias away.
    """
    moved_back = Counter[str]()
    while True:
        log, held = _settle(registry, name), _aliases(registry, name)
        champion = next((version for version, aliases in held.items() if CHAMPION in aliases), None)
        before = log[-1].version if log else None
        if champion in (None, before):
            return log, champion
        assert champion is not None
        # each process that promoted it may come late once; whoever sets it again means it
        if before in held and moved_back[champion] < _just_promoted(log)[champion]:
            _point_aliases(registry, name, log)
            moved_back[champion] += 1
        # or else another process has just promoted it
        elif promotions(registry, name) == log:
            _record(registry, name, log, before, "found", champion, "unknown", "the alias was set without promotion")


def _just_promoted(log: list[Promotion]) -> Counter[str]:
    """How many processes may still be about to move the alias to a version; one with a clock ahead is not trusted."""
    now = datetime.now(UTC)
    return Counter(entry.version for entry in log if timedelta(0) <= now - entry.at < SLOWEST)


def _aliases(registry: Registry, name: str) -> dict[str, tuple[str, ...]]:
    """The aliases of each version."""
    return {version.version: version.aliases for version in registry.versions(name)}


def _settle(registry: Registry, name: str) -> list[Promotion]:
    """Moves the aliases to where the newest entry wants them, until nobody adds another meanwhile."""
    while True:
        notes = registry.notes(name)
        entries = _log(registry, name, notes)
        log = [promotion for _, promotion in entries]
        if not entries:
            return log
        # of two that were made at once the later may stand before the other, and change `previous` alone
        mark = f"{len(entries)} up to {entries[-1][0]}"
        if notes.get(_SETTLED) == mark:
            return log
        _point_aliases(registry, name, log)
        registry.note(name, _SETTLED, mark)


def _point_aliases(registry: Registry, name: str, log: list[Promotion]) -> None:
    held = _aliases(registry, name)
    champion, previous = _champion_and_previous(log)
    if champion in held:
        assert champion is not None
        registry.set_alias(name, CHAMPION, champion)
        if CANDIDATE in held[champion]:
            registry.drop_alias(name, CANDIDATE)
    if previous in held:
        assert previous is not None
        registry.set_alias(name, PREVIOUS, previous)


def _log(registry: Registry, name: str, notes: dict[str, str]) -> list[tuple[str, Promotion]]:
    """Key and content of every entry, in order."""
    keys = sorted(key for key in notes if key.startswith(_LOG))
    try:
        return [(key, Promotion.model_validate_json(notes[key])) for key in keys]
    except ValidationError as error:
        raise RegistryError(
            f"{registry.uri}: the notes of {name} hold a promotion that cannot be read "
            f"({error.errors()[0]['loc']}); restore the tag, or delete it in MLflow's page"
        ) from error


def _checked(reason: str) -> str:
    reason = " ".join(reason.split())
    if not reason:
        raise RegistryError("--reason is empty, but those who read it later need one")
    if len(reason) > _LONGEST_REASON:
        raise RegistryError(f"--reason has {len(reason)} characters; say it in {_LONGEST_REASON}")
    return printable(reason, _LONGEST_REASON)
