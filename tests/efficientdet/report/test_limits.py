from __future__ import annotations

from efficientdet.report.limits import Limits


def test_half_of_everything() -> None:
    assert Limits(rows=9, curves=8, cells=7, marks=2, names=1).halved() == Limits(4, 4, 3, 1, 0)
