"""How much better the champion is, and whether the images can tell."""

from __future__ import annotations

import numpy as np
import pytest

from efficientdet.blessing import champion_drops
from efficientdet.coco_metric import CocoAccumulator, Groundtruth, match_image
from efficientdet.scored_image import Found, ScoredImage

SIDE = 40.0


def image(number: int, **shifts: float | None) -> ScoredImage:
    """One square, found so many pixels too low by each contender, or not at all (None)."""
    square = np.array([[10.0, 10.0, SIDE, SIDE]])
    truth = Groundtruth(square, np.array([1]), np.array([False]), np.array([SIDE**2]))
    found = {name.replace("_", "/"): detection(square, shift) for name, shift in shifts.items()}
    return ScoredImage(str(number), 100, 100, truth, found)


def detection(square: np.ndarray, shift: float | None) -> Found:
    if shift is None:
        return Found(np.zeros((0, 4)), np.zeros(0, np.int32), np.zeros(0))
    return Found(square + [0, shift, 0, 0], np.array([1], np.int32), np.array([0.9]))


def ap(images: list[ScoredImage], contender: str) -> float:
    matches = [match_image(i.image_id, i.truth, *i.found[contender]) for i in images]
    return CocoAccumulator(matches).compute().metrics["AP"]


def test_the_drop_is_of_each_file_over_all_images() -> None:
    rng = np.random.default_rng(0)
    shifts = rng.uniform(0, 20, (30, 4))
    names = ("float", "int8", "champion_float", "champion_int8")
    images = [image(i, **dict(zip(names, row, strict=True))) for i, row in enumerate(shifts)]
    drops = champion_drops(images, ["float", "int8"])
    for variant, drop in drops.items():
        assert drop.difference == pytest.approx(ap(images, f"champion/{variant}") - ap(images, variant), abs=1e-12)
        assert drop.low < drop.difference < drop.high
    assert champion_drops(images, ["int8"]) == {"int8": drops["int8"]}, "the same draws every time"
    narrow = champion_drops(images, ["int8"], confidence=0.5)["int8"]
    assert narrow.high - narrow.low < drops["int8"].high - drops["int8"].low


def test_one_better_on_every_image_is_better_for_certain() -> None:
    images = [image(i, float=9.0, champion_float=0.0) for i in range(20)]
    [drop] = champion_drops(images, ["float"]).values()
    assert 0 < drop.low <= drop.difference <= drop.high


def test_equal_detections_differ_by_nothing() -> None:
    images = [image(i, float=float(i % 15), champion_float=float(i % 15)) for i in range(20)]
    assert champion_drops(images, ["float"])["float"] == (0, 0, 0)


def test_one_image_that_decides_is_chance() -> None:
    images = [image(i, float=0.0, champion_float=0.0) for i in range(19)]
    images.append(image(19, float=None, champion_float=0.0))
    drop = champion_drops(images, ["float"])["float"]
    assert drop.low == 0 < drop.difference < drop.high


def test_without_groundtruth_or_images_there_is_no_drop() -> None:
    nothing = Groundtruth(np.zeros((0, 4)), np.zeros(0), np.zeros(0), np.zeros(0))
    none = detection(np.zeros((0, 4)), None)
    empty = ScoredImage("1", 9, 9, nothing, {"float": none, "champion/float": none})
    assert champion_drops([empty], ["float"]) == champion_drops([], ["float"]) == {"float": None}
