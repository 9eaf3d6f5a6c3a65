"""What a person types to change the champion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from efficientdet.bundle import write_manifest
from efficientdet.person import person
from efficientdet.registry import Registry, open_registry
from efficientdet.registry.promotion import promotions
from pipeline.cli import main


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, new_registry: Callable[[Path], Registry]) -> str:
    """`digits` with version 1, a candidate, and 2."""
    root = tmp_path_factory.mktemp("team")
    registry = new_registry(root / "registry")
    for text in ("one", "two"):
        (root / text).mkdir()
        (root / text / "model_int8.tflite").write_text(text)
        write_manifest(root / text)
        registry.register(root / text, "digits")
    registry.set_alias("digits", "candidate", "1")
    return registry.uri


def run(registry: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--registry", registry])


def test_a_candidate_becomes_champion_is_followed_and_comes_back(registry: str) -> None:
    first = run(registry, "promote", "digits", "--reason", "tried it")
    assert first.output == f"digits@1 is the champion; recorded for {person()}: tried it\n"
    assert run(registry, "promote", "digits@1", "--reason", "x").output == (
        "digits@1 is the champion already; nothing changed\n"
    )
    second = run(registry, "promote", "digits@2", "--reason", "better")
    assert second.output == f"digits@2 is the champion instead of 1; recorded for {person()}: better\n"
    back = run(registry, "rollback", "digits", "--reason", "misses sevens")
    assert back.output.startswith("digits@1 is the champion instead of 2; recorded for")
    assert [result.exit_code for result in (first, second, back)] == [0, 0, 0]
    assert [entry.reason for entry in promotions(open_registry(registry), "digits")] == [
        "tried it",
        "better",
        "misses sevens",
    ]


def test_a_champion_whose_alias_was_taken_away_is_one_again(registry: str) -> None:
    run(registry, "promote", "digits@1", "--reason", "tried it")
    open_registry(registry).drop_alias("digits", "champion")
    again = run(registry, "promote", "digits@1", "--reason", "a slip in the page")
    assert again.output == f"digits@1 is the champion; recorded for {person()}: a slip in the page\n"
    assert open_registry(registry).get("digits").version == "1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("promote", "digits@7", "--reason", "x"), "digits has no version or alias '7'"),
        (("promote", "faces", "--reason", "x"), "there is no model 'faces'"),
        (("rollback", "faces", "--reason", "x"), "there is no model 'faces'"),
        (("rollback", "digits@2", "--reason", "x"), "`efficientdet-pipeline promote digits@2 --reason TEXT`"),
        (("promote", "digits@2", "--reason", " "), "--reason is empty"),
        (("promote", "a/b", "--reason", "x"), "not a model reference"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(registry: str, arguments: tuple[str, ...], said: str) -> None:
    result = run(registry, *arguments)
    assert result.exit_code != 0
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_reason_is_asked_for(registry: str) -> None:
    assert "Missing option '--reason'" in run(registry, "promote", "digits@2").stderr
