"""The record says what was judged, survives reading, and gives no way around itself."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from efficientdet.blessing import Blessing, Override, Rule
from efficientdet.errors import DataError

METRICS = {"float": {"AP": 0.5, "APs": None}, "int8": {"AP": 0.4, "APs": None}}
PASSED = Rule("floors.float/AP", 0.5, 0.1, "PASSED", "float AP 0.5000 is not below its floor 0.1")
FAILED = Rule("floors.int8/AP", 0.4, 0.6, "FAILED", "int8 AP 0.4000 is below its floor 0.6")
UNTOLD = Rule("max_champion_drop.int8", 0.03, 0.02, "INCONCLUSIVE", "these images cannot tell", (0.0, 0.1))
SKIPPED = Rule("on_no_champion", None, None, "SKIPPED", "there is no champion to compare with")
NOON = datetime(2024, 5, 4, 12, tzinfo=UTC)


def record(*rules: Rule, **fields: Any) -> Blessing:
    return Blessing(rules, split="eval", images_scored=8, images_total=8, metrics=METRICS, **fields)


@pytest.mark.parametrize(
    ("rules", "on_inconclusive", "outcome", "blessed"),
    [
        ((PASSED, SKIPPED), "refuse", "BLESSED", True),
        ((PASSED, UNTOLD), "refuse", "INCONCLUSIVE", False),
        ((PASSED, UNTOLD), "bless", "INCONCLUSIVE", True),
        ((UNTOLD, FAILED), "bless", "NOT_BLESSED", False),
        ((FAILED,), "refuse", "NOT_BLESSED", False),
    ],
)
def test_the_worst_answer_is_the_verdict(
    rules: tuple[Rule, ...], on_inconclusive: str, outcome: str, blessed: bool
) -> None:
    judged = record(*rules, on_inconclusive=on_inconclusive)
    assert (judged.outcome, judged.blessed) == (outcome, blessed)
    assert judged.reasons == [rule.sentence for rule in rules if rule in (FAILED, UNTOLD)]


@pytest.mark.parametrize(
    "judged",
    [
        record(PASSED, SKIPPED),
        record(
            *(PASSED, UNTOLD, FAILED),
            per_class={"float": {"a dog": {"AP": None}}},
            slices={"image/group=a": METRICS},
            missing_classes=("a dog",),
            runtimes={"int8": {"bytes": 4e6, "latency_ms": 20.5}},
            split_identity="f00",
            champion="3",
            champion_metrics=METRICS,
        ),
        record(FAILED).overrule("ann@desk", NOON, "the floor was meant for lite4"),
    ],
    ids=["blessed", "everything", "overridden"],
)
def test_the_record_is_read_back_as_written(tmp_path: Path, judged: Blessing) -> None:
    judged.write(tmp_path)
    assert Blessing.load(tmp_path) == judged
    written = json.loads((tmp_path / "blessing.json").read_text())
    assert list(written)[:4] == ["outcome", "blessed", "images", "rules"]
    assert (written["outcome"], written["blessed"]) == (judged.outcome, judged.blessed)
    assert written["images"] == "8 of 8 images scored"


def test_an_override_keeps_the_verdict() -> None:
    judged = record(PASSED, UNTOLD, FAILED).overrule("ann@desk", NOON, " shipped for the fair ")
    assert (judged.outcome, judged.blessed) == ("NOT_BLESSED", True)
    names = ("max_champion_drop.int8", "floors.int8/AP")
    assert judged.override == Override("ann@desk", NOON, "shipped for the fair", names)
    assert str(judged.override) == "overridden by ann@desk at 2024-05-04T12:00:00+00:00: shipped for the fair"


@pytest.mark.parametrize("reason", ["", " \n"])
def test_an_override_needs_a_reason(reason: str) -> None:
    with pytest.raises(DataError, match="needs a reason"):
        record(FAILED).overrule("ann", NOON, reason)


@pytest.mark.parametrize(
    "judged",
    [
        record(PASSED),
        record(UNTOLD, on_inconclusive="bless"),
        record(FAILED).overrule("bob", NOON, "why not"),
    ],
)
def test_what_is_blessed_is_not_overridden(judged: Blessing) -> None:
    with pytest.raises(DataError, match="already blessed"):
        judged.overrule("ann", NOON, "to be sure")


def edited(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The values with one of them changed, or left out."""
    *groups, last = path.split(".")
    inner: Any = values
    for group in groups:
        inner = inner[int(group) if group.isdigit() else group]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("outcome", "BLESSED", "says outcome BLESSED, but its rules say NOT_BLESSED"),
        ("blessed", True, "says blessed True, but its rules say False"),
        ("images", "9 of 9 images scored", "but its rules say 8 of 8"),
        ("outcome", None, "'outcome'"),
        ("rules", [], "at least 1 item"),
        ("rules.1.outcome", "FINE", "rules.1.outcome: Input should be 'PASSED'"),
        ("rules.1.value", "0.4", "rules.1.value"),
        ("rules.1.bound", float("nan"), "rules.1.bound: Input should be a finite number"),
        (
            "rules.1.outcome",
            "PASSED",
            "says PASSED of the rule floors.int8/AP, but its value 0.4 and bound 0.6 say FAILED",
        ),
        ("rules.0.value", 0.05, "says PASSED of the rule floors.float/AP, but its value 0.05 and bound 0.1 say FAILED"),
        ("rules.1.extra", 1, "rules.1.extra: Unexpected keyword argument"),
        ("split", None, "split: Field required"),
        ("on_inconclusive", "shrug", "on_inconclusive"),
        ("thresholds", {}, "thresholds: Unexpected keyword argument"),
        ("override", {"by": "ann", "at": NOON.isoformat(), "reason": " ", "rules": []}, "override.reason"),
        ("override", {"by": "ann", "at": "noon", "reason": "so", "rules": []}, "override.at"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, path: str, value: Any, says: str) -> None:
    written = record(PASSED, FAILED).write(tmp_path)
    written.write_text(json.dumps(edited(json.loads(written.read_text()), path, value)))
    with pytest.raises(DataError, match=r"blessing\.json") as refused:
        Blessing.load(tmp_path)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"outcome": "BLESSED"}', "[" * 100_000, '{"a":' * 100_000])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "blessing.json").write_text(text)
    with pytest.raises(DataError, match="is not a blessing of the Evaluator"):
        Blessing.load(tmp_path)


def test_a_missing_record(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"blessing\.json"):
        Blessing.load(tmp_path)


@pytest.mark.parametrize("rules", [(PASSED,), (PASSED, FAILED)])
def test_an_override_of_another_verdict_is_refused(tmp_path: Path, rules: tuple[Rule, ...]) -> None:
    overridden = record(FAILED, UNTOLD).overrule("ann", NOON, "so")
    replace(overridden, rules=rules).write(tmp_path)
    with pytest.raises(DataError, match="its override is not one of its own verdict"):
        Blessing.load(tmp_path)
