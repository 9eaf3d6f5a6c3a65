from __future__ import annotations

import json
from pathlib import Path

import pytest

from efficientdet.blessing import Blessing, Bounds, judge
from efficientdet.errors import ConfigError, DataError

ALL = {"float": 8, "int8": 8}


def metrics(float_ap: float | None, int8_ap: float | None) -> dict[str, dict[str, float | None]]:
    return {"float": {"AP": float_ap}, "int8": {"AP": int8_ap}}


def outcomes(bounds: Bounds, ours: dict, images: dict = ALL, champion: dict | None = None) -> dict[str, str]:
    return {rule.rule: rule.outcome for rule in judge(bounds, ours, images, 8, champion)}


def blessing(bounds: Bounds, ours: dict) -> Blessing:
    rules = judge(bounds, ours, ALL, 8, None)
    return Blessing(rules, split="eval", images_scored=8, images_total=8, metrics=ours)


@pytest.mark.parametrize(
    ("bounds", "ours", "rule", "outcome"),
    [
        (Bounds(), metrics(0.0, 0.0), "min_float_ap", "PASSED"),
        (Bounds(), metrics(None, None), "min_float_ap", "FAILED"),
        (Bounds(min_float_ap=0.2), metrics(0.2, 0.0), "min_float_ap", "PASSED"),
        (Bounds(min_float_ap=0.2), metrics(0.1999, 0.9), "min_float_ap", "FAILED"),
        (Bounds(min_int8_ap=0.2), metrics(0.9, 0.1999), "min_int8_ap", "FAILED"),
        (Bounds(max_int8_drop=0.25), metrics(0.5, 0.25), "max_int8_drop", "PASSED"),
        (Bounds(max_int8_drop=0.02), metrics(0.5, 0.47), "max_int8_drop", "FAILED"),
        (Bounds(max_int8_drop=0.02), metrics(None, None), "max_int8_drop", "FAILED"),
        (Bounds(max_int8_drop=0.0), metrics(0.5, 0.6), "max_int8_drop", "PASSED"),
    ],
)
def test_a_bound_is_kept_when_reached_exactly(bounds: Bounds, ours: dict, rule: str, outcome: str) -> None:
    assert outcomes(bounds, ours)[rule] == outcome


def test_the_champion_is_compared_file_by_file() -> None:
    found = outcomes(Bounds(max_champion_drop=0.01), metrics(0.5, 0.3), champion=metrics(0.4, 0.4))
    assert found["max_champion_drop_float"] == "PASSED"
    assert found["max_champion_drop_int8"] == "FAILED"


def test_the_first_model_has_no_champion_to_lose_to() -> None:
    assert outcomes(Bounds(max_champion_drop=0.0), metrics(0.5, 0.5))["max_champion_drop"] == "SKIPPED"


@pytest.mark.parametrize("scored", [{"float": 7, "int8": 8}, {"float": 8, "int8": 9}])
def test_every_image_must_be_scored_once(scored: dict) -> None:
    assert "FAILED" in outcomes(Bounds(), metrics(0.5, 0.5), images=scored).values()


def test_one_failed_rule_is_enough_and_gives_its_sentence() -> None:
    judged = blessing(Bounds(min_float_ap=0.1, min_int8_ap=0.6), metrics(0.5, 0.5))
    assert judged.outcome == "NOT_BLESSED"
    assert judged.reasons == ["int8 AP 0.5000 is below its floor 0.6"]


def test_the_record_is_read_back_as_written(tmp_path: Path) -> None:
    judged = blessing(Bounds(min_float_ap=0.1, max_champion_drop=0.0), metrics(0.5, None))
    judged.write(tmp_path)
    assert Blessing.load(tmp_path) == judged
    written = json.loads((tmp_path / "blessing.json").read_text())
    assert list(written)[:2] == ["outcome", "images"]
    assert written["images"] == "8 of 8 images scored"


def test_an_outcome_edited_by_hand_is_refused(tmp_path: Path) -> None:
    path = blessing(Bounds(min_float_ap=0.9), metrics(0.5, 0.5)).write(tmp_path)
    path.write_text(path.read_text().replace("NOT_BLESSED", "BLESSED"))
    with pytest.raises(DataError, match="says BLESSED, but its rules say NOT_BLESSED"):
        Blessing.load(tmp_path)


def test_a_missing_record(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"blessing\.json"):
        Blessing.load(tmp_path)


def test_a_bound_out_of_range_names_it() -> None:
    with pytest.raises(ConfigError, match="min_float_ap"):
        Bounds.parse({"min_float_ap": 75})
