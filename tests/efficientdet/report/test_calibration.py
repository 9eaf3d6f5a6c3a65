from __future__ import annotations

import numpy as np
import pytest

from efficientdet.report.calibration import BINS, calibrate

A, FAR = (0, 0, 40, 40), (150, 0, 10, 10)


def calibrated(scene, look, found: list, crowds: list = ()):
    return calibrate(look([scene("1", [(1, A)], crowds=crowds, float=found)]).contenders[0])


def test_scores_against_precision(scene, look) -> None:
    found = [(1, A, 0.95), (1, FAR, 0.91), (1, FAR, 0.25)]
    result = calibrated(scene, look, found)
    assert result.counts.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert result.precisions[[2, 9]].tolist() == [0, 0.5]
    assert result.scores[[2, 9]] == pytest.approx([0.25, 0.93])
    assert result.expected_error == pytest.approx((2 * 0.43 + 0.25) / 3)


def test_scores_at_the_ends(scene, look) -> None:
    result = calibrated(scene, look, [(1, A, 1.0), (1, FAR, 0.0), (1, FAR, 7.5)])
    assert result.counts[[0, BINS - 1]].tolist() == [1, 2]


def test_perfect_scores_have_no_error(scene, look) -> None:
    assert calibrated(scene, look, [(1, A, 1.0), (1, FAR, 0.0)]).expected_error == 0


def test_what_does_not_count_is_left_out(scene, look) -> None:
    result = calibrated(scene, look, [(2, FAR, 0.5)], crowds=[(2, FAR)])
    assert result.counts.sum() == 0
    assert result.expected_error is None
    assert np.isnan(result.precisions).all()
