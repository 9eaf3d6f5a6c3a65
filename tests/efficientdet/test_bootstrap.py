from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.bootstrap import Interval, interval, paired_interval
from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, Groundtruth, ImageMatches, match_images

BOX = [0.0, 0.0, 40.0, 40.0]
TRUTH = Groundtruth([BOX], [1], [0], [1600.0])


def contenders(random_coco: Any, scenes: Any, seed: int, images: int = 8) -> tuple[list[ImageMatches], ...]:
    """Two sets of detections of the same images."""
    dataset, results = random_coco(seed, images, classes=2, most=15, coarse=8)
    rng = np.random.default_rng(seed)
    moved = [r | {"bbox": (np.array(r["bbox"]) + rng.normal(0, 6, 4) * [1, 1, 0, 0]).tolist()} for r in results]
    return match_images(scenes(dataset, results)), match_images(scenes(dataset, moved))


def finder(found: np.ndarray) -> list[ImageMatches]:
    """A contender that finds the one object of the images marked in `[n]`, and never errs."""
    return match_images([(str(i), TRUTH, [BOX] * yes, [1] * yes, [0.5] * yes) for i, yes in enumerate(found.tolist())])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), metric=st.sampled_from(COCO_METRICS))
def test_the_difference_is_that_of_coco_s_numbers(random_coco: Any, scenes: Any, seed: int, metric: str) -> None:
    a, b = contenders(random_coco, scenes, seed)
    one, other = (CocoAccumulator(images).compute() for images in (a, b))
    for category in (None, 1, 2):
        values = [
            s.metrics[metric] if category is None else s.per_class.get(category, {}).get(metric) for s in (one, other)
        ]
        result = paired_interval(a, b, metric, samples=20, class_id=category)
        lone = interval(a, metric, samples=20, class_id=category)
        if None in values:
            assert result is None
        elif result is not None and lone is not None:  # the few images with groundtruth may never be drawn
            assert result.difference == values[0] - values[1]
            assert result.low <= result.high
            assert lone.difference == values[0]
            assert 0 <= lone.low <= lone.high <= 1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), metric=st.sampled_from(COCO_METRICS))
def test_contenders_that_find_the_same_do_not_differ(random_coco: Any, scenes: Any, seed: int, metric: str) -> None:
    a, _ = contenders(random_coco, scenes, seed)
    assert paired_interval(a, a, metric, samples=50) in (None, Interval(0.0, 0.0, 0.0), Interval(0.0, -1.0, 1.0))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), metric=st.sampled_from(COCO_METRICS))
def test_swapped_contenders_have_the_other_sign(random_coco: Any, scenes: Any, seed: int, metric: str) -> None:
    a, b = contenders(random_coco, scenes, seed)
    forth, back = paired_interval(a, b, metric, samples=50), paired_interval(b, a, metric, samples=50)
    if forth is None or back is None:
        assert forth is back
    else:
        assert tuple(back) == pytest.approx((-forth.difference, -forth.high, -forth.low), abs=1e-12)


def test_a_seed_draws_the_same_images(random_coco: Any, scenes: Any) -> None:
    a, b = contenders(random_coco, scenes, 5, images=30)
    first = paired_interval(a, b, samples=40, seed=1)
    assert paired_interval(a, b, samples=40, seed=1) == first
    assert paired_interval(a, b, samples=40, seed=2) != first


def test_an_interval_grows_with_its_confidence() -> None:
    images = finder(np.arange(40) % 3 == 0)
    narrow, wide = (interval(images, "AR100", 400, confidence) for confidence in (0.5, 0.99))
    assert narrow is not None
    assert wide is not None
    assert wide.low < narrow.low < narrow.difference < narrow.high < wide.high


def test_the_truth_lies_in_about_as_many_intervals_as_promised() -> None:
    # Recall is the share of images whose object is found: .6 of one contender and .5 of the other. Of 100 intervals
    # of 90 %, fewer than 80 or more than 98 would hold the difference once in a thousand times.
    rng, covered = np.random.default_rng(0), 0
    for _ in range(100):
        luck = rng.random(120)  # a hard image is hard for both
        a, b = (finder(luck + rng.normal(0, 0.05, 120) > 1 - share) for share in (0.6, 0.5))
        result = paired_interval(a, b, "AR100", samples=200, confidence=0.9)
        assert result is not None
        covered += result.low <= 0.1 <= result.high
    assert 80 <= covered <= 98


def test_pairs_tell_more_than_two_lone_contenders() -> None:
    luck = np.random.default_rng(0).random(300)
    a, b = finder(luck > 0.4), finder(luck > 0.45)
    pair, one, other = paired_interval(a, b), interval(a), interval(b)
    assert pair is not None
    assert one is not None
    assert other is not None
    assert pair.low > 0  # b never finds what a does not
    assert one.low < other.high


def test_without_groundtruth_there_is_no_interval() -> None:
    empty = match_images([("1", Groundtruth([], [], [], []), [BOX], [1], [0.5])])
    assert paired_interval(empty, empty) is None
    assert interval([]) is None
    assert paired_interval(finder(np.ones(3, bool)), finder(np.ones(3, bool)), class_id=2) is None


@pytest.mark.parametrize("others", [0, 5])
def test_a_lone_image_with_groundtruth_tells_nothing_of_others(others: int) -> None:
    empty = match_images([(f"empty {i}", Groundtruth([], [], [], []), [], [], []) for i in range(others)])
    good, bad = ([*finder(np.array([found])), *empty] for found in (True, False))
    assert paired_interval(good, bad, "AR100") == Interval(1.0, -1.0, 1.0)
    assert interval(good, "AR100") == Interval(1.0, 0.0, 1.0)
    two = finder(np.ones(2, bool))
    assert interval(two, "AR100") == Interval(1.0, 1.0, 1.0)
    assert interval(two, "AR100", class_id=2) is None


def test_contenders_of_other_images_are_refused() -> None:
    a = finder(np.ones(3, bool))
    with pytest.raises(ValueError, match="one contender has 3 images and the other 2"):
        paired_interval(a, a[:2])
    with pytest.raises(ValueError, match="image 1 of one contender and 2 of the other differ"):
        paired_interval(a, [a[0], a[2], a[1]])
    other = match_images([("0", replace(TRUTH, classes=[2]), [], [], [])])
    with pytest.raises(ValueError, match="image 0 of one contender"):
        paired_interval(a[:1], other)
