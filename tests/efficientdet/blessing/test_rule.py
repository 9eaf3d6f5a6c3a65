"""How a value and its bound are put into a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from efficientdet.blessing import Rule
from efficientdet.blessing.rule import at_least, at_most, policy, possible, shown


@pytest.mark.parametrize(
    ("value", "bound", "text"),
    [
        (0.5, 0.4, "0.5000"),
        (0.4, 0.4, "0.4000"),
        (0.39999, 0.4, "0.39999"),
        (0.4000001, 0.4, "0.4000001"),
        (0.1 + 0.2, 0.3, "0.300000000000"),
        (31.5, 30, "31.5000"),
    ],
)
def test_a_value_has_the_digits_that_tell_it_from_its_bound(value: float, bound: float, text: str) -> None:
    assert shown(value, bound) == text


@given(value=st.floats(0, 1), bound=st.floats(0, 1))
def test_a_floor_and_a_ceiling_are_each_other_s_opposite(value: float, bound: float) -> None:
    low, high = at_least("a", "AP", value, bound), at_most("b", "loss", value, bound)
    assert {low.outcome, high.outcome} == ({"PASSED"} if value == bound else {"PASSED", "FAILED"})


def test_what_has_no_value_keeps_no_bound() -> None:
    assert [f("a", "AP", None, 0.5).outcome for f in (at_least, at_most)] == ["FAILED", "FAILED"]


@pytest.mark.parametrize(("setting", "outcome"), [("refuse", "FAILED"), ("skip", "SKIPPED"), ("bless", "SKIPPED")])
def test_a_policy_names_its_setting(setting: str, outcome: str) -> None:
    rule = policy("on_no_bounds", setting, "no bound is set")
    assert (rule.outcome, rule.sentence) == (outcome, f"no bound is set (blessing.on_no_bounds={setting})")


@pytest.mark.parametrize("fields", [{"outcome": "FINE"}, {"value": float("nan")}, {"sentence": None}, {"rules": 1}])
def test_a_rule_is_whole_or_none(fields: dict) -> None:
    with pytest.raises(ValidationError):
        Rule(**{"rule": "a", "value": 0.5, "bound": 0.4, "outcome": "PASSED", "sentence": "so", **fields})


@pytest.mark.parametrize(
    ("name", "value", "bound", "interval", "answers"),
    [
        ("images.int8", 8, 8, None, "PASSED"),
        ("images.int8", 7, 8, None, "FAILED"),
        ("images.int8", 0, 0, None, "FAILED"),
        ("floors.int8/AP", 0.4, 0.4, None, "PASSED"),
        ("class_floors.a.b.int8/AP", 0.39, 0.4, None, "FAILED"),
        ("slice_floors.image/group=a.int8/AP", None, 0.4, None, "FAILED"),
        ("floors.int8/AP", 0.4, None, None, "PASSED"),
        ("floors.int8/AP", None, None, None, "FAILED"),
        ("runs.int8", None, None, None, "FAILED"),
        ("files.int8", None, None, None, "FAILED SKIPPED"),
        ("max_latency_ms.int8", 30, 30, None, "PASSED"),
        ("max_megabytes.int8", 30.1, 30, None, "FAILED"),
        ("max_champion_drop.int8", 0.03, 0.02, (0.01, 0.04), "INCONCLUSIVE"),
        ("max_champion_drop.int8", 0.03, 0.02, (0.025, 0.04), "FAILED"),
        ("max_champion_drop.int8", 0.01, 0.02, (-0.01, 0.02), "PASSED"),
        ("max_champion_drop.int8", None, 0.02, None, "FAILED SKIPPED"),
        ("on_no_bounds", None, None, None, "FAILED SKIPPED"),
        ("of another kind", 1, 2, None, "PASSED FAILED INCONCLUSIVE SKIPPED"),
    ],
)
def test_an_answer_follows_from_what_was_asked(
    name: str, value: float | None, bound: float | None, interval: tuple[float, float] | None, answers: str
) -> None:
    assert possible(Rule(name, value, bound, "PASSED", "so", interval)) == tuple(answers.split())
