from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.report.curves import class_curves, mean_curves

A, B, FAR = (0, 0, 40, 40), (100, 40, 40, 40), (150, 0, 10, 10)


def test_over_the_threshold(scene, look) -> None:
    study = look([scene("1", [(1, A), (1, B)], float=[(1, A, 0.8), (1, FAR, 0.6)])])
    curves = class_curves(study.contenders[0], study.positives)[1]
    assert curves.recall[[0, 80, 81]].tolist() == [0.5, 0.5, 0]
    assert curves.precision[[0, 60, 61, 80]].tolist() == [0.5, 0.5, 1, 1]
    assert np.isnan(curves.precision[81:]).all()
    assert curves.f1[[60, 80, 90]] == pytest.approx([0.5, 2 / 3, 0])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_they_agree_with_the_scores_and_the_thresholds(random_images, look, seed: int) -> None:
    study = look(random_images(seed))
    [contender] = study.contenders
    curves = class_curves(contender, study.positives)
    assert list(curves) == list(study.positives)
    for class_id, one in curves.items():
        ap50 = contender.scores.per_class[class_id]["AP50"]
        assert one.precision_at_recalls.mean() == pytest.approx(ap50, abs=1e-12)
        assert one.f1.max() == pytest.approx(contender.points[class_id].f1), "the scores are on the grid"
        assert (np.diff(one.recall) <= 0).all()


def test_the_mean_is_over_classes_that_have_a_value(scene, look) -> None:
    study = look([scene("1", [(1, A), (2, B)], float=[(1, A, 0.8), (2, FAR, 0.4)])])
    mean = mean_curves(class_curves(study.contenders[0], study.positives).values())
    assert mean.precision[[40, 41, 80]].tolist() == [0.5, 1, 1]
    assert np.isnan(mean.precision[81])
    assert mean.recall[[0, 90]].tolist() == [0.5, 0]
    assert mean.precision_at_recalls.mean() == pytest.approx(0.5)
