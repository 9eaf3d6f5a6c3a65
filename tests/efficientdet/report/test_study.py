from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.best_threshold import best_thresholds
from efficientdet.coco_metric import CocoAccumulator, match_image
from efficientdet.report.limits import Limits
from efficientdet.report.study import LONGEST_NAME

A, B = (0, 0, 40, 40), (100, 40, 40, 40)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_its_numbers_are_those_of_the_metric_and_of_the_thresholds(random_images, look, seed: int) -> None:
    images = random_images(seed, names=("float", "int8"))
    study = look(images)
    for contender in study.contenders:
        found = [match_image(i.image_id, i.truth, *i.found[contender.name]) for i in images]
        assert contender.scores == CocoAccumulator(found).compute()
        best = {class_id: point.threshold for class_id, point in contender.points.items() if point.is_best}
        assert best == best_thresholds(images, contender.name)
        for class_id, point in contender.points.items():
            rows = contender.detected.classes == class_id
            assert contender.true[rows].sum() == point.true
            assert contender.false[rows].sum() == point.false
            objects = study.objects & (study.split.truths.classes == class_id)
            assert contender.found[objects].sum() == point.true
            assert objects.sum() == point.positives == study.positives.get(class_id, 0)


def test_names(scene, look) -> None:
    study = look([scene("1", [(1, A), (9, B)])], names=["a" * 100, "naïve\n<b>"])
    assert study.name(1) == "a" * (LONGEST_NAME - 1) + "…"
    assert study.name(2) == "naïve\\n<b>"
    assert study.name(9) == "class 9", "which the label map lacks"
    assert study.positives == {1: 1, 9: 1}


def test_classes_with_few_objects_are_left_out_of_tables(scene, look) -> None:
    study = look([scene("1", [(1, A), (2, A), (2, B), (3, A), (3, B)])])
    assert study.shown_classes == {1, 2, 3}
    assert study.left_out(3, 3) == ""
    few = replace(study, limits=Limits(rows=2))
    assert few.shown_classes == {2, 3}
    assert few.left_out(2, 3) == " Shown are the 2 classes with most objects; 1 others are left out."


def test_detections_below_the_threshold_are_not_kept(scene, look) -> None:
    [contender] = look([scene("1", [(1, A)], float=[(1, A, 0.9), (1, B, 0.8), (2, B, 0.6), (2, B, 0.4)])]).contenders
    assert contender.kept.tolist() == [True, False, True, False]
    assert contender.true.tolist() == [True, False, False, False]
    assert np.array_equal(contender.found, [True])
    assert contender.points[2] == (0.5, 0, 1, 0, False)


def test_nothing_at_all(look, scene) -> None:
    assert look([]).contenders == []
    [contender] = look([scene("1", float=[])]).contenders
    assert contender.points == {}
    assert contender.scores.metrics["AP"] is None
    assert pytest.approx(0) == contender.kept.sum()
