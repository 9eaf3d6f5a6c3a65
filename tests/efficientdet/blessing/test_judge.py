"""What each rule asks, and what it answers at its bound, beyond it, and without a value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.blessing import Bounds, Champion, Evidence, Rule, judge
from efficientdet.blessing.rule import possible
from efficientdet.bootstrap import Interval


def metrics(float_ap: float | None, int8_ap: float | None) -> dict[str, dict[str, float | None]]:
    return {"float": {"AP": float_ap, "AP50": float_ap}, "int8": {"AP": int8_ap, "AP50": int8_ap}}


def evidence(float_ap: float | None = 0.5, int8_ap: float | None = 0.5, **known: Any) -> Evidence:
    ours = metrics(float_ap, int8_ap)
    return Evidence(**{"metrics": ours, "images": dict.fromkeys(ours, 8), "total": 8, **known})


def asked(values: dict[str, Any], of: Evidence) -> dict[str, Rule]:
    """The rules by name; each name must be there once, and each answer follow from what the rule holds."""
    rules = judge(Bounds.parse(values), of)
    assert len({rule.rule for rule in rules}) == len(rules)
    assert all(rule.outcome in possible(rule) for rule in rules)
    return {rule.rule: rule for rule in rules}


@pytest.mark.parametrize(
    ("bounds", "float_ap", "int8_ap", "rule", "outcome"),
    [
        ({}, 0.0, 0.0, "floors.float/AP", "PASSED"),
        ({}, None, None, "floors.float/AP", "FAILED"),
        ({"floors": {"AP": 0.2}}, 0.2, 0.0, "floors.float/AP", "PASSED"),
        ({"floors": {"AP": 0.2}}, 0.1999, 0.9, "floors.float/AP", "FAILED"),
        ({"floors": {"AP50": 0.2}}, 0.9, 0.1999, "floors.int8/AP50", "FAILED"),
        ({"floors": {"int8/AP": 0.2}}, 0.1, 0.2, "floors.int8/AP", "PASSED"),
        ({"floors": {"int8/AP": 0.2}}, 0.1, 0.2, "floors.float/AP", "PASSED"),
        ({"floors": {"APs": 0.2}}, 0.5, 0.5, "floors.float/APs", "FAILED"),
        ({"max_tflite_drop": 0.25}, 0.5, 0.25, "max_tflite_drop.int8", "PASSED"),
        ({"max_tflite_drop": {"int8": 0.02}}, 0.5, 0.47, "max_tflite_drop.int8", "FAILED"),
        ({"max_tflite_drop": 0.02}, None, None, "max_tflite_drop.int8", "FAILED"),
        ({"max_tflite_drop": 0}, 0.5, 0.6, "max_tflite_drop.int8", "PASSED"),
    ],
)
def test_a_bound_is_kept_when_reached_exactly(
    bounds: dict, float_ap: float | None, int8_ap: float | None, rule: str, outcome: str
) -> None:
    assert asked(bounds, evidence(float_ap, int8_ap))[rule].outcome == outcome


@pytest.mark.parametrize("name", ["max_tflite_drop", "max_tflite_class_drop"])
def test_a_loss_of_no_tflite_at_all_is_not_kept(name: str) -> None:
    alone = {"float": metrics(0.5, 0.5)["float"]}
    rule = asked({name: 0.02}, evidence(metrics=alone, images={"float": 8}))["files.tflite"]
    assert (rule.outcome, "ships no TFLite file" in rule.sentence) == ("FAILED", True)
    assert "files.tflite" not in asked({name: 0.02}, evidence())


@given(value=st.floats(0, 1), floor=st.floats(0, 1))
def test_a_floor_is_kept_by_what_is_not_below_it(value: float, floor: float) -> None:
    rule = asked({"floors": {"float/AP": floor}}, evidence(value, None))["floors.float/AP"]
    assert (rule.outcome == "PASSED") == (value >= floor)
    assert (rule.value, rule.bound) == (value, floor)


def test_a_value_that_rounds_to_its_bound_is_told_from_it() -> None:
    sentence = asked({"floors": {"AP": 0.4}}, evidence(0.3999999))["floors.float/AP"].sentence
    assert sentence == "float AP 0.3999999 is below its floor 0.4"


@pytest.mark.parametrize("scored", [{"float": 7, "int8": 8}, {"float": 8, "int8": 9}])
def test_every_image_must_be_scored_once(scored: dict) -> None:
    rules = asked({"floors": {"AP": 0}}, evidence(images=scored))
    assert [rules[f"images.{variant}"].outcome == "PASSED" for variant in scored] == [n == 8 for n in scored.values()]


def test_what_could_not_be_scored_is_named() -> None:
    unscored = {f"{i}": "Input is empty." for i in range(7)}
    rule = asked({}, evidence(images={"float": 1, "int8": 1}, unscored=unscored))["images.float"]
    assert rule.sentence.startswith("float: 1 of 8 images scored; every image")
    assert rule.sentence.endswith(
        "not scored: 0 (Input is empty.), 1 (Input is empty.), 2 (Input is empty.), "
        "3 (Input is empty.), 4 (Input is empty.) and 2 more"
    )


def test_without_images_nothing_is_kept() -> None:
    rules = asked({"floors": {"AP": 0}}, evidence(None, None, images={"float": 0, "int8": 0}, total=0))
    assert {rule.outcome for rule in rules.values()} == {"FAILED"}


@pytest.mark.parametrize(("policy", "outcome"), [("refuse", "FAILED"), ("bless", "SKIPPED")])
def test_without_any_bound_the_policy_decides(policy: str, outcome: str) -> None:
    rule = asked({"on_no_bounds": policy}, evidence())["on_no_bounds"]
    assert rule.outcome == outcome
    assert rule.sentence.endswith(f"set blessing.floors (blessing.on_no_bounds={policy})")
    assert "on_no_bounds" not in asked({"floors": {"AP": 0.1}, "on_no_bounds": policy}, evidence())


CLASSES = {
    "float": {"cat": {"AP": 0.6}, "dog": {"AP": 0.5}, "owl": {"AP": None}},
    "int8": {"cat": {"AP": 0.55}, "dog": {"AP": 0.3}, "owl": {"AP": None}},
}


def test_floors_of_a_class_are_asked_of_each_file() -> None:
    rules = asked({"class_floors": {"dog": {"AP": 0.4}}}, evidence(per_class=CLASSES))
    assert rules["class_floors.dog.float/AP"].outcome == "PASSED"
    assert rules["class_floors.dog.int8/AP"].sentence == "int8 AP of dog 0.3000 is below its floor 0.4"


def test_a_floor_of_a_class_that_does_not_exist_is_not_kept() -> None:
    rules = asked({"class_floors": {"dgo": {"AP": 0.4}}}, evidence(per_class=CLASSES))
    assert rules["class_floors.dgo"].outcome == "FAILED"
    assert rules["class_floors.dgo"].sentence.endswith("there is no such class; did you mean dog?")


@pytest.mark.parametrize(("policy", "outcome"), [("refuse", "FAILED"), ("skip", "SKIPPED")])
def test_a_class_without_groundtruth_is_named(policy: str, outcome: str) -> None:
    known = evidence(per_class=CLASSES, missing_classes=("owl",))
    rules = asked({"class_floors": {"owl": {"AP": 0.1}}, "on_missing_class": policy}, known)
    assert rules["on_missing_class"].outcome == outcome
    assert "no groundtruth of owl," in rules["on_missing_class"].sentence
    assert rules["class_floors.owl.float/AP"].outcome == "FAILED", "a bound that cannot be checked is not kept"


def test_the_class_that_loses_most_is_named_with_all_that_lose_too_much() -> None:
    rules = asked({"max_tflite_class_drop": 0.04}, evidence(per_class=CLASSES))
    rule = rules["max_tflite_class_drop.int8"]
    assert rule.value == pytest.approx(0.2)
    assert rule.outcome == "FAILED"
    assert rule.sentence.startswith("float AP minus int8 AP of dog, the class that loses most, is 0.2000, above")
    assert rule.sentence.endswith("; above it too: cat 0.0500")
    assert asked({"max_tflite_class_drop": 0.25}, evidence(per_class=CLASSES))[rule.rule].outcome == "PASSED"


def test_floors_of_a_slice() -> None:
    slices = {"image/group=night": metrics(0.3, 0.1)}
    rules = asked({"slice_floors": {"image/group=night": {"AP": 0.2}}}, evidence(slices=slices))
    assert rules["slice_floors.image/group=night.float/AP"].outcome == "PASSED"
    assert rules["slice_floors.image/group=night.int8/AP"].sentence.startswith("int8 AP where image/group=night 0.1000")
    rules = asked({"slice_floors": {"image/group=day": {"AP": 0.2}}}, evidence(slices=slices))
    assert rules["slice_floors.image/group=day"].outcome == "FAILED"


def test_latency_and_size() -> None:
    runtimes = {"float": {"bytes": 9e6}, "int8": {"bytes": 4_200_000, "latency_ms": 31.5}}
    bounds = {"max_latency_ms": {"int8": 30}, "max_megabytes": 4.2}
    rules = asked(bounds, evidence(runtimes=runtimes))
    assert rules["max_megabytes.int8"].outcome == "PASSED"
    assert rules["max_megabytes.float"].sentence == "float: its size in megabytes is 9.0000, above its ceiling 4.2"
    assert rules["max_latency_ms.int8"].value == 31.5
    assert "max_latency_ms.float" not in rules
    unmeasured = asked({"max_latency_ms": 30}, evidence(runtimes=runtimes))["max_latency_ms.float"]
    assert (unmeasured.outcome, unmeasured.value) == ("FAILED", None)


def test_a_bound_of_a_file_that_does_not_ship_is_not_kept() -> None:
    bounds = {"floors": {"int4/AP": 0.1}, "class_floors": {"dog": {"int4/AP": 0.1}}, "max_megabytes": {"int4": 3}}
    rule = asked(bounds, evidence(per_class=CLASSES))["files.int4"]
    assert rule.outcome == "FAILED"
    assert rule.sentence == (
        "the bundle ships no file 'int4', but blessing.floors.int4/AP, class_floors.dog.int4/AP, max_megabytes.int4"
        " bounds it; did you mean int8?"
    )


def test_any_number_of_files_is_judged() -> None:
    ours = {**metrics(0.5, 0.4), "float16": {"AP": 0.499}}
    known = evidence(metrics=ours, images=dict.fromkeys(ours, 8))
    rules = asked({"max_tflite_drop": {"all": 0.01, "int8": 0.1}, "floors": {"AP": 0.4}}, known)
    assert {name: rule.outcome for name, rule in rules.items() if name.startswith("max")} == {
        "max_tflite_drop.int8": "PASSED",
        "max_tflite_drop.float16": "PASSED",
    }
    assert {"images.float16", "floors.float16/AP"} <= rules.keys()


def against(low: float, difference: float, high: float, ceiling: float, **champion: Any) -> dict[str, Rule]:
    drops = {"float": Interval(difference, low, high)}
    known = evidence(champion=Champion(**{"name": "pets@3", "drops": drops, **champion}))
    return asked({"max_champion_drop": ceiling}, known)


@pytest.mark.parametrize(
    ("low", "difference", "high", "outcome"),
    [
        (-0.03, -0.02, -0.01, "PASSED"),
        (-0.02, 0.0, 0.02, "PASSED"),
        (0.0, 0.0, 0.0, "PASSED"),
        (0.01, 0.015, 0.02, "PASSED"),
        (0.0, 0.01, 0.03, "INCONCLUSIVE"),
        (-0.1, 0.05, 0.2, "INCONCLUSIVE"),
        (0.02, 0.03, 0.04, "INCONCLUSIVE"),
        (0.021, 0.03, 0.04, "FAILED"),
    ],
)
def test_the_champion_is_compared_as_far_as_the_images_can_tell(
    low: float, difference: float, high: float, outcome: str
) -> None:
    rule = against(low, difference, high, ceiling=0.02)["max_champion_drop.float"]
    assert rule.outcome == outcome
    assert (rule.value, rule.interval) == (difference, (low, high))
    assert rule.sentence.endswith("cannot tell") == (outcome == "INCONCLUSIVE")


def test_without_groundtruth_a_change_has_no_value() -> None:
    known = evidence(champion=Champion("pets@3", {"float": None, "int8": None}))
    rule = asked({"max_champion_drop": 1}, known)["max_champion_drop.int8"]
    assert (rule.outcome, rule.value) == ("FAILED", None)


def test_a_file_that_the_champion_does_not_ship_is_not_compared() -> None:
    rule = against(0, 0, 0, ceiling=0.02)["max_champion_drop.int8"]
    assert rule.outcome == "SKIPPED"
    assert "pets@3 ships no file 'int8'" in rule.sentence


@pytest.mark.parametrize(("policy", "outcome"), [("skip", "SKIPPED"), ("refuse", "FAILED")])
def test_the_first_model_has_no_champion_to_lose_to(policy: str, outcome: str) -> None:
    bounds = {"max_champion_drop": 0, "on_no_champion": policy}
    assert asked(bounds, evidence())["on_no_champion"].outcome == outcome
    assert "on_no_champion" not in asked({"floors": {"AP": 0.1}, "on_no_champion": policy}, evidence())


@pytest.mark.parametrize(("policy", "outcome"), [("skip", "SKIPPED"), ("refuse", "FAILED")])
def test_a_champion_of_other_classes(policy: str, outcome: str) -> None:
    known = evidence(champion=Champion("pets@3", other_classes=True))
    rules = asked({"max_champion_drop": 0, "on_other_classes": policy}, known)
    assert rules["on_other_classes"].outcome == outcome
    assert not any(name.startswith("max_champion_drop") for name in rules)


@pytest.mark.parametrize(
    ("policy", "outcome", "compared"),
    [("compare", "SKIPPED", True), ("skip", "SKIPPED", False), ("refuse", "FAILED", False)],
)
def test_a_champion_judged_on_another_split(policy: str, outcome: str, compared: bool) -> None:
    change = "that was f00, this is ba4"
    drops = {"float": Interval(0.5, 0.4, 0.6)}
    known = evidence(champion=Champion("pets@3", drops, split_change=change))
    rules = asked({"max_champion_drop": 0, "on_changed_split": policy}, known)
    assert rules["on_changed_split"].outcome == outcome
    assert change in rules["on_changed_split"].sentence
    assert ("max_champion_drop.float" in rules) == compared
    if compared:
        assert rules["max_champion_drop.float"].outcome == "FAILED"


def test_what_ships_unjudged_is_named_and_takes_no_blessing():
    rules = asked({"floors": {"AP": 0.2}}, evidence(unjudged=["frozen_graph.pb", "model.onnx"]))
    assert [rule.outcome for name, rule in rules.items() if name.startswith("files.")] == ["SKIPPED", "SKIPPED"]
    assert rules["files.model.onnx"].sentence.startswith("model.onnx ships too, but is neither scored nor run here")
