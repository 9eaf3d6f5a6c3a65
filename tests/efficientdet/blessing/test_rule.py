"""How a value and its bound are put into a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from efficientdet.blessing import Rule
from efficientdet.blessing.rule import at_least, at_most, policy, shown


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
