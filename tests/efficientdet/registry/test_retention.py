"""What gc deletes, and what it never does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from efficientdet.bundle import TFLITE_FILE
from efficientdet.errors import RegistryError
from efficientdet.registry import ModelVersion, Registry, retention
from efficientdet.registry.mlflow_client import EXPERIMENT, Location
from efficientdet.registry.mlflow_files import PUBLISHING
from efficientdet.registry.promotion import promote
from efficientdet.registry.retention import Policy, collect, garbage
from tests.registry_copy import copy_registry

WriteBundle = Callable[[str], Path]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def version(name: str, number: int, days: float, *aliases: str) -> ModelVersion:
    return ModelVersion(name, str(number), aliases, {}, NOW - timedelta(days=days), 10, "c", "e")


VERSIONS = [
    version("cats", 3, 1),
    version("cats", 2, 10, "champion"),
    version("cats", 1, 20),
    version("dogs", 4, 1),
    version("dogs", 3, 5),
    version("dogs", 2, 15),
    version("dogs", 1, 30, "previous"),
]


@pytest.mark.parametrize(
    ("keep", "days", "gone"),
    [
        (2, None, ["dogs@2", "cats@1"]),
        (0, None, ["dogs@2", "dogs@3", "dogs@4", "cats@1", "cats@3"]),
        (None, 4, ["dogs@2", "dogs@3", "cats@1"]),
        (2, 18, ["cats@1"]),
        (9, None, []),
    ],
)
def test_the_policy(keep: int | None, days: float | None, gone: list[str]) -> None:
    policy = Policy(keep, None if days is None else timedelta(days=days))
    assert [str(expired) for expired in policy.expired(VERSIONS, NOW)] == gone


def test_a_policy_says_something() -> None:
    with pytest.raises(RegistryError, match="with --keep, --older-than, or both"):
        Policy()


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, write_bundle: WriteBundle, new_registry: Callable[[Path], Registry]
) -> Path:
    registry = new_registry(tmp_path_factory.mktemp("made") / "registry")
    for number in range(1, 6):
        registry.register(write_bundle(str(number)), "digits")
    promote(registry, "digits", "2", "ann", "first")
    promote(registry, "digits", "3", "ann", "second")
    registry.set_alias("digits", "candidate", "4")
    client = Location.parse(registry.uri).client
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    for text, tags in (("half", {PUBLISHING: "digits"}), ("else", {})):
        run = client.create_run(experiment, tags=tags).info.run_id
        client.log_artifact(run, str(write_bundle(text) / TFLITE_FILE))
    return Path(registry.uri)


@pytest.fixture
def five(made: Path, tmp_path: Path) -> Registry:
    """`digits` 1 to 5: 2 was champion before 3, 4 is a candidate; a dead publishing, and somebody else's run."""
    return copy_registry(made, tmp_path / "registry")


def stored(registry: Registry) -> list[str]:
    """What the stored model files repeat."""
    return sorted(path.read_text()[:4] for path in Path(registry.uri).rglob(TFLITE_FILE))


def test_files_go_with_their_versions_and_those_in_use_stay(five: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    found = garbage(five, Policy(keep=0))
    assert [str(version) for version in found.versions] == ["digits@1", "digits@5"]
    assert found.unfinished == [], "a publishing of today may be going on"
    monkeypatch.setattr(retention, "UNFINISHED_AFTER", timedelta(0))
    found = garbage(five, Policy(keep=0))
    assert len(found.unfinished) == 1
    assert garbage(five, Policy(keep=0), "digits").unfinished == found.unfinished
    assert garbage(five, Policy(keep=0), "faces").unfinished == [], "what died was of another name"
    assert stored(five) == ["1111", "2222", "3333", "4444", "5555", "else", "half"]
    assert collect(five, found) == (found, {})
    assert [v.version for v in five.versions()] == ["4", "3", "2"]
    assert stored(five) == ["2222", "3333", "4444", "else"]
    assert garbage(five, Policy(keep=0)).unfinished == []


def test_files_of_a_version_that_was_copied_to_another_name_stay(five: Registry, tmp_path: Path) -> None:
    client = Location.parse(five.uri).client
    client.copy_model_version("models:/digits/5", "live")
    promote(five, "live", "1", "ann", "first")
    assert collect(five, garbage(five, Policy(keep=0), "digits"))[1] == {}
    assert [v.version for v in five.versions("digits")] == ["4", "3", "2"]
    assert stored(five) == ["2222", "3333", "4444", "5555", "else", "half"]
    five.fetch("live", "champion", tmp_path / "live")
    five.register(tmp_path / "live", "digits")
    five.drop_alias("live", "champion")
    five.delete("live", "1")
    assert stored(five).count("5555") == 1, "the copy's files go with the last that has them"


def test_what_was_promoted_meanwhile_stays(five: Registry) -> None:
    found = garbage(five, Policy(keep=0))
    promote(five, "digits", "5", "ann", "third")
    gone, stayed = collect(five, found)
    assert [version.version for version in gone.versions] == ["1"]
    assert stayed == {"digits@5": "it is champion since"}
    assert {v.version: v.aliases for v in five.versions()} == {
        "5": ("champion",),
        "4": ("candidate",),
        "3": ("previous",),
        "2": (),
    }


def test_a_champion_by_record_stays_without_its_alias(five: Registry) -> None:
    for alias in ("champion", "previous", "candidate"):
        five.drop_alias("digits", alias)
    assert [version.version for version in garbage(five, Policy(keep=0)).versions] == ["1", "4", "5"]


def test_a_version_with_an_alias_cannot_be_deleted(five: Registry) -> None:
    with pytest.raises(RegistryError, match="digits@4 is candidate; it stays"):
        five.delete("digits", "4")


def test_a_number_is_never_given_again(five: Registry, write_bundle: WriteBundle, tmp_path: Path) -> None:
    five.delete("digits", "5")
    assert five.register(write_bundle("5"), "digits").version == "6"
    shutil.rmtree(tmp_path / "registry")
    assert garbage(five, Policy(keep=0)) == retention.Garbage([], [])
