from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, ImageMatches, match_images
from efficientdet.weighted_metric import weighted_metric

METRICS = st.sampled_from(COCO_METRICS)


def matches_of(scenes: list[Any], ties: bool = True) -> list[ImageMatches]:
    """Matched images; without ties no two detections of an image have one score."""
    if not ties:
        scenes = [(*scene, np.asarray(s) + np.arange(len(s)) * 1e-6) for *scene, s in scenes]
    return match_images(scenes)


def number(value: float | None) -> Any:
    return pytest.approx(np.nan if value is None else value, abs=1e-12, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), metric=METRICS, most=st.sampled_from([1, 15, 250]))
def test_weights_of_one_are_coco_s_numbers(random_coco: Any, scenes: Any, seed: int, metric: str, most: int) -> None:
    images = matches_of(scenes(*random_coco(seed, images=9, classes=3, most=most, coarse=8)))
    scores = CocoAccumulator(images).compute()
    assert weighted_metric(images, metric)(np.ones((1, 9), np.int32))[0] == number(scores.metrics[metric])
    for category in (1, 2, 3):
        [value] = weighted_metric(images, metric, category)(np.ones((1, 9), np.int32))
        assert value == number(scores.per_class.get(category, {}).get(metric))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    metric=METRICS,
    weights=st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=3),
)
def test_a_weight_is_a_number_of_copies(
    random_coco: Any, scenes: Any, seed: int, metric: str, weights: list[list[int]]
) -> None:
    images = matches_of(scenes(*random_coco(seed, images=6, classes=2, most=15, coarse=8)), ties=False)
    values = weighted_metric(images, metric)(np.array(weights, np.int32))
    for value, draw in zip(values, weights, strict=True):
        copies = [image for image, weight in zip(images, draw, strict=True) for _ in range(weight)]
        assert value == number(CocoAccumulator(copies).compute().metrics[metric])


@pytest.mark.parametrize("metric", COCO_METRICS)
def test_no_images_have_no_number(metric: str) -> None:
    assert np.isnan(weighted_metric([], metric)(np.ones((2, 0), np.int32))).tolist() == [True, True]
