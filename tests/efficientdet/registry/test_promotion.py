"""Promotions with a real registry, also by processes that are killed or come at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from efficientdet.errors import RegistryError
from efficientdet.registry import Registry, open_registry, promotion
from efficientdet.registry.mlflow import MlflowRegistry
from efficientdet.registry.mlflow_client import Location
from efficientdet.registry.promotion import promote, promotions, rollback
from tests.efficientdet.registry.child import exit_code, in_child
from tests.registry_copy import copy_registry

WriteBundle = Callable[[str], Path]


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, write_bundle: WriteBundle, new_registry: Callable[[Path], Registry]
) -> Path:
    registry = new_registry(tmp_path_factory.mktemp("made") / "registry")
    for content in ("one", "two", "three"):
        registry.register(write_bundle(content), "digits")
    return Path(registry.uri)


@pytest.fixture
def three(made: Path, tmp_path: Path) -> Registry:
    """`digits` with versions 1, 2 and 3, none promoted."""
    return copy_registry(made, tmp_path / "three")


def aliases(registry: Registry, name: str = "digits") -> dict[str, str]:
    return {alias: version.version for version in registry.versions(name) for alias in version.aliases}


def test_a_promotion_moves_champion_and_previous_and_is_recorded(three: Registry) -> None:
    three.set_alias("digits", "candidate", "1")
    assert promote(three, "digits", "candidate", "ann", "first")
    assert aliases(three) == {"champion": "1"}, "a candidate that became champion is none any more"
    promote(three, "digits", "3", "bob", "better  at\nnight")
    assert aliases(three) == {"champion": "3", "previous": "1"}
    first, second = promotions(three, "digits")
    assert (first.act, first.version, first.before, first.by, first.reason) == ("promote", "1", None, "ann", "first")
    assert (second.act, second.version, second.before, second.by) == ("promote", "3", "1", "bob")
    assert second.reason == "better at night"
    assert timedelta(0) <= datetime.now(UTC) - second.at < timedelta(minutes=10)


def test_a_rollback_goes_back_and_a_second_forth(three: Registry) -> None:
    promote(three, "digits", "1", "ann", "first")
    promote(three, "digits", "2", "ann", "second")
    assert rollback(three, "digits", "bob", "misses sevens").version == "1"
    assert aliases(three) == {"champion": "1", "previous": "2"}
    rollback(three, "digits", "bob", "it was the camera")
    assert aliases(three) == {"champion": "2", "previous": "1"}
    assert [entry.act for entry in promotions(three, "digits")] == ["promote", "promote", "rollback", "rollback"]


def test_the_champion_is_not_promoted_again(three: Registry) -> None:
    promote(three, "digits", "1", "ann", "first")
    assert promote(three, "digits", "1", "ann", "again") is None
    assert len(promotions(three, "digits")) == 1


def test_a_champion_set_by_hand_is_found_and_becomes_previous(three: Registry) -> None:
    three.set_alias("digits", "champion", "2")
    promote(three, "digits", "3", "ann", "better")
    three.set_alias("digits", "champion", "1")
    promote(three, "digits", "2", "ann", "back")
    assert [(entry.act, entry.version) for entry in promotions(three, "digits")] == [
        ("found", "2"),
        ("promote", "3"),
        ("found", "1"),
        ("promote", "2"),
    ]
    assert aliases(three) == {"champion": "2", "previous": "1"}


def test_a_champion_whose_alias_was_taken_away_is_promoted_again(three: Registry) -> None:
    promote(three, "digits", "1", "ann", "first")
    promote(three, "digits", "2", "ann", "second")
    three.drop_alias("digits", "champion")
    again = promote(three, "digits", "2", "bob", "it was taken away")
    assert again is not None
    assert (again.version, again.before, again.by) == ("2", None, "bob")
    assert aliases(three) == {"champion": "2", "previous": "1"}
    three.drop_alias("digits", "champion")
    promote(three, "digits", "3", "cid", "better")
    assert aliases(three) == {"champion": "3", "previous": "2"}


def test_a_rollback_goes_by_the_log_when_previous_was_taken_away(three: Registry) -> None:
    promote(three, "digits", "1", "ann", "first")
    promote(three, "digits", "2", "ann", "second")
    three.drop_alias("digits", "previous")
    assert rollback(three, "digits", "bob", "misses sevens").version == "1"
    assert aliases(three) == {"champion": "1", "previous": "2"}


def test_a_slow_process_that_moves_the_alias_late_is_no_person(
    three: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(three, "digits", "1", "ann", "first")
    promote(three, "digits", "2", "bob", "second")
    three.set_alias("digits", "champion", "1")
    assert promote(three, "digits", "2", "cid", "again") is None
    assert aliases(three) == {"champion": "2", "previous": "1"}
    monkeypatch.setattr(promotion, "SLOWEST", timedelta(0))
    three.set_alias("digits", "champion", "1")
    promote(three, "digits", "2", "cid", "back")
    assert [entry.act for entry in promotions(three, "digits")] == ["promote", "promote", "found", "promote"]


def test_a_champion_set_by_hand_after_the_newest_was_deleted_is_found(
    three: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(three, "digits", "1", "ann", "first")
    promote(three, "digits", "2", "ann", "second")
    client = Location.parse(three.uri).client
    client.delete_model_version("digits", "2")
    client.set_registered_model_alias("digits", "champion", "1")
    moved = list[str]()
    really = MlflowRegistry.set_alias
    monkeypatch.setattr(MlflowRegistry, "set_alias", lambda *all_: (moved.append(all_[2]), really(*all_)))
    promote(three, "digits", "3", "bob", "third")
    assert [(entry.act, entry.version) for entry in promotions(three, "digits")][2:] == [
        ("found", "1"),
        ("promote", "3"),
    ]
    assert aliases(three) == {"champion": "3", "previous": "1"}
    assert len(moved) <= 4, "nothing is done over and over"


def test_who_sets_the_alias_again_at_once_means_it(three: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(three, "digits", "1", "ann", "first")
    promote(three, "digits", "2", "ann", "second")
    three.set_alias("digits", "champion", "1")
    moves, moved = promotion._point_aliases, list[object]()

    def insist(*where: Any) -> None:
        moves(*where)
        moved.append(where)
        three.set_alias("digits", "champion", "1")

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "_point_aliases", insist)
        promote(three, "digits", "1", "bob", "mine")
    assert [entry.act for entry in promotions(three, "digits")] == ["promote", "promote", "found"]
    assert len(moved) == 2, "back to 2 once, and to what was found"


def test_a_clock_that_is_ahead_makes_nobody_a_slow_process(three: Registry) -> None:
    promote(three, "digits", "1", "ann", "first")
    promote(three, "digits", "2", "ann", "second")
    [key] = [key for key in three.notes("digits") if key.startswith("promotion.000001.")]
    ahead = promotions(three, "digits")[0].model_copy(update={"at": datetime.now(UTC) + timedelta(hours=1)})
    three.note("digits", key, ahead.model_dump_json())
    three.set_alias("digits", "champion", "1")
    promote(three, "digits", "3", "bob", "third")
    assert [entry.act for entry in promotions(three, "digits")] == ["promote", "promote", "found", "promote"]


def test_a_reason_that_cannot_be_written_stands_as_escapes(three: Registry) -> None:
    made = promote(three, "digits", "1", "ann", "caf\udcc3 \x1b[31m")
    assert made is not None
    assert made.reason == r"caf\udcc3 \x1b[31m"
    assert promotions(three, "digits") == [made]


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda registry: promote(registry, "digits", "9", "ann", "x"), "digits has no version or alias '9'"),
        (lambda registry: promote(registry, "faces", "1", "ann", "x"), "there is no model 'faces'"),
        (lambda registry: rollback(registry, "faces", "ann", "x"), "there is no model 'faces'"),
        (lambda registry: promote(registry, "digits", "candidate", "ann", "x"), "no version or alias 'candidate'"),
        (lambda registry: promote(registry, "digits", "1", "ann", " "), "--reason is empty"),
        (lambda registry: promote(registry, "digits", "1", "ann", "x" * 1001), "1001 characters; say it in 1000"),
    ],
)
def test_what_cannot_be_promoted(three: Registry, act: Callable[[Registry], object], said: str) -> None:
    with pytest.raises(RegistryError, match=said):
        act(three)
    assert promotions(three, "digits") == []
    assert aliases(three) == {}


def test_there_is_no_way_back_from_the_first_champion(three: Registry) -> None:
    promote(three, "digits", "1", "ann", "first")
    with pytest.raises(RegistryError, match="digits had no champion before this one"):
        rollback(three, "digits", "ann", "x")
    assert aliases(three) == {"champion": "1"}


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_killed_between_two_writes_the_next_promotion_heals_it(
    three: Registry, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """After the record come the aliases champion and previous, and the note that they follow it."""
    promote(three, "digits", "1", "ann", "first")

    def killed() -> None:
        left = [writes]

        def counted(write: Callable[..., None]) -> Callable[..., None]:
            def run(*args: object) -> None:
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                write(*args)

            return run

        for name in ("note", "set_alias"):
            monkeypatch.setattr(MlflowRegistry, name, counted(getattr(MlflowRegistry, name)))
        promote(open_registry(three.uri), "digits", "2", "bob", "second")

    assert exit_code(in_child(killed)) == -signal.SIGKILL
    assert aliases(three)["champion"] in ("1", "2")
    assert promote(three, "digits", "2", "cid", "again") is None, "what was recorded is done, and done once"
    assert aliases(three) == {"champion": "2", "previous": "1"}
    assert [(entry.version, entry.by) for entry in promotions(three, "digits")] == [("1", "ann"), ("2", "bob")]


def test_an_entry_of_the_same_moment_that_comes_before_the_last_moves_previous(three: Registry) -> None:
    promote(three, "digits", "1", "ann", "first")
    promote(three, "digits", "2", "ann", "second")
    twin = promotions(three, "digits")[0].model_copy(update={"version": "3"})
    three.note("digits", "promotion.000001.zzzzzzzz", twin.model_dump_json())
    assert promote(three, "digits", "2", "bob", "again") is None
    assert aliases(three) == {"champion": "2", "previous": "3"}


def test_promoted_by_several_at_once_the_aliases_follow_the_log(three: Registry) -> None:
    def work(person: int) -> None:
        registry = open_registry(three.uri)
        for turn in range(2):
            promote(registry, "digits", str((person + turn) % 3 + 1), str(person), "mine")

    children = [in_child(lambda person=person: work(person)) for person in range(4)]
    assert [exit_code(child) for child in children] == [0] * 4
    log = promotions(three, "digits")
    assert len(log) >= 4
    assert {entry.act for entry in log} == {"promote"}
    promote(three, "digits", log[-1].version, "ann", "settle")
    previous = next(entry.version for entry in reversed(log) if entry.version != log[-1].version)
    assert aliases(three) == {"champion": log[-1].version, "previous": previous}


def test_an_entry_without_a_time_zone_is_told_and_nothing_moves(three: Registry) -> None:
    promote(three, "digits", "1", "ann", "first")
    [key] = [key for key in three.notes("digits") if key.startswith("promotion.")]
    three.note("digits", key, three.notes("digits")[key].replace('Z"', '"'))
    three.set_alias("digits", "champion", "2")
    with pytest.raises(RegistryError, match=r"hold a promotion that cannot be read \(\('at',\)\)"):
        promote(three, "digits", "3", "bob", "second")
    assert aliases(three) == {"champion": "2"}
