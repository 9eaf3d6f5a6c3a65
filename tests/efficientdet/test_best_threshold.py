from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.best_threshold import DEFAULT_THRESHOLD, best_point, best_thresholds
from efficientdet.coco_metric import Groundtruth
from efficientdet.scored_image import Found, ScoredImage


def point(pairs: list[tuple[float, bool]], positives: int) -> tuple:
    scores, true = zip(*pairs, strict=True) if pairs else ((), ())
    return tuple(best_point(np.array(scores, float), np.array(true, bool), positives))


def test_f1_is_greatest_there() -> None:
    falling = [(0.9, True), (0.8, False), (0.7, True), (0.6, True), (0.5, False)]
    assert point(falling, positives=3) == (0.6, 3, 1, 3, True)
    assert point(falling[::-1], positives=3) == (0.6, 3, 1, 3, True), "in any order"


def test_of_equally_good_thresholds_the_highest_is_taken() -> None:
    # F1 is 2*1/(1+3) = 1/2 with one detection, and 2*2/(5+3) = 1/2 with five.
    assert point([(0.9, True), (0.8, False), (0.7, False), (0.6, False), (0.5, True)], 3) == (0.9, 1, 0, 3, True)


def test_equal_scores_are_believed_together() -> None:
    assert point([(0.9, True), (0.9, False), (0.9, False)], 1) == (0.9, 1, 2, 1, True)


def test_without_a_found_object_no_threshold_is_best() -> None:
    assert point([], 2) == (DEFAULT_THRESHOLD, 0, 0, 2, False)
    assert point([(0.9, False), (0.4, False)], 2) == (DEFAULT_THRESHOLD, 0, 1, 2, False)
    assert point([(0.9, False)], 0) == (DEFAULT_THRESHOLD, 0, 1, 0, False)


def test_ratios_of_nothing_are_no_numbers() -> None:
    nothing = best_point(np.empty(0), np.empty(0, bool), 0)
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)
    missed = best_point(np.empty(0), np.empty(0, bool), 4)
    assert (missed.precision, missed.recall, missed.f1, missed.missed) == (None, 0, 0, 4)


@given(
    pairs=st.lists(st.tuples(st.integers(0, 10).map(lambda s: s / 10), st.booleans()), max_size=30),
    lost=st.integers(0, 5),
)
def test_no_threshold_is_better_and_no_higher_one_as_good(pairs: list[tuple[float, bool]], lost: int) -> None:
    positives = sum(true for _, true in pairs) + lost
    best = best_point(np.array([s for s, _ in pairs]), np.array([t for _, t in pairs], bool), positives)
    f1 = {}
    for threshold in {score for score, _ in pairs}:
        kept = [true for score, true in pairs if score >= threshold]
        f1[threshold] = 2 * sum(kept) / (len(kept) + positives)
    if not any(f1.values()):
        assert not best.is_best
        return
    assert best.f1 == pytest.approx(max(f1.values()))
    assert all(value < best.f1 for threshold, value in f1.items() if threshold > best.threshold)


def test_by_class_and_only_those_that_were_found() -> None:
    box = [10.0, 10.0, 20.0, 20.0]
    truth = Groundtruth([box, box], [1, 2], [False, False], [400.0, 400.0])
    found = Found(np.array([box, box, box]), np.array([1, 1, 3], np.int32), np.array([0.8, 0.6, 0.4]))
    images = [ScoredImage("1", 100, 100, truth, {"float": found})]
    assert best_thresholds(images, "float") == {1: 0.8}
    assert best_thresholds(images, "int8") == {}
    assert best_thresholds([], "float") == {}
