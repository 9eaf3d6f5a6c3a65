"""One question that a blessing asks of a model, and its answer."""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

Outcome = Literal["PASSED", "FAILED", "INCONCLUSIVE", "SKIPPED"]
Interval = tuple[float, float]

_FLOORS = ("floors", "class_floors", "slice_floors")
_CEILINGS = ("max_tflite_drop", "max_tflite_class_drop", "max_champion_drop", "max_latency_ms", "max_megabytes")
_KINDS = {"runs", "images", "files", *_FLOORS, *_CEILINGS}


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Rule:
    """One question asked of the model: its `value` (None: not a number) against its `bound`, and the answer.

    rule: the setting that asks, with what it is asked of after dots, as `class_floors.dog.int8/AP`. interval: where
    the value may as well lie, were the images others; None for a value that is taken as it is.
    """

    rule: str
    value: float | None
    bound: float | None
    outcome: Outcome
    sentence: str
    interval: Interval | None = None


def at_least(name: str, what: str, value: float | None, floor: float) -> Rule:
    """A value that must reach its floor; `what` begins the sentence."""
    if value is None:
        return no_value(name, what, floor)
    kept = value >= floor
    said = f"{what} {shown(value, floor)} is {'not ' if kept else ''}below its floor {floor:g}"
    return Rule(name, value, floor, "PASSED" if kept else "FAILED", said)


def at_most(
    name: str, what: str, value: float | None, ceiling: float, detail: str = "", interval: Interval | None = None
) -> Rule:
    """A value that must not pass its ceiling, nor may its interval; `detail` ends the sentence."""
    if value is None:
        return no_value(name, what, ceiling)
    said = (
        f"{what} is {shown(value, ceiling)}, {'not ' if value <= ceiling else ''}above its ceiling {ceiling:g}{detail}"
    )
    outcome = _below(value, ceiling, interval)
    untold = ": these images cannot tell" if outcome == "INCONCLUSIVE" else ""
    return Rule(name, value, ceiling, outcome, said + untold, interval)


def no_value(name: str, what: str, bound: float | None) -> Rule:
    """A bound on what has no value, which is not kept."""
    return Rule(name, None, bound, "FAILED", f"{what} has no value: the split holds no groundtruth to find")


def policy(name: str, setting: str, sentence: str) -> Rule:
    """What the configuration says where no bound can decide: `refuse`, or else pass on."""
    outcome: Outcome = "FAILED" if setting == "refuse" else "SKIPPED"
    return Rule(name, None, None, outcome, f"{sentence} (blessing.{name}={setting})")


def possible(rule: Rule) -> tuple[Outcome, ...]:
    """The answers that a rule's value, bound and interval leave; what they are to each other, its name tells."""
    kind, _, _ = rule.rule.partition(".")
    if kind not in _KINDS and not kind.startswith("on_"):
        return get_args(Outcome)
    if rule.value is None:
        skipped = kind.startswith("on_") or kind in ("files", "max_champion_drop")
        return ("FAILED", "SKIPPED") if skipped else ("FAILED",)
    if rule.bound is None:
        return ("PASSED",)
    if kind.startswith("max_"):
        return (_below(rule.value, rule.bound, rule.interval),)
    kept = rule.value == rule.bound > 0 if kind == "images" else rule.value >= rule.bound
    return ("PASSED",) if kept else ("FAILED",)


def _below(value: float, ceiling: float, interval: Interval | None) -> Outcome:
    """Whether value and interval lie below the ceiling, above it, or on both sides."""
    values = (value, *(interval or ()))
    return "PASSED" if max(values) <= ceiling else "FAILED" if min(values) > ceiling else "INCONCLUSIVE"


def shown(value: float, bound: float) -> str:
    """The value to four digits after the point, or as many as tell it from its bound."""
    digits = 4
    while value != bound and digits < 12 and math.isclose(round(value, digits), bound, rel_tol=1e-15):
        digits += 1
    return f"{value:.{digits}f}"
