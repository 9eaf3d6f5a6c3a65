from __future__ import annotations

import numpy as np
import pytest

from efficientdet.report.precision_recall import average_precision, precision_at_recalls


def test_the_best_precision_at_each_recall_or_beyond() -> None:
    precision = precision_at_recalls(np.array([True, False, True]), positives=4)
    assert precision[[0, 25]].tolist() == [1, 1]
    assert precision[[26, 50]].tolist() == [2 / 3, 2 / 3]
    assert precision[[51, 100]].tolist() == [0, 0]


def test_ap_is_the_mean() -> None:
    assert average_precision(np.array([True, True]), 2) == 1
    assert average_precision(np.empty(0, bool), 2) == 0
    assert average_precision(np.array([False, False]), 2) == 0
    assert average_precision(np.array([False, True]), 1) == pytest.approx(0.5)
