from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.report.figure import (
    CONTEXT,
    CROWD,
    FALSE,
    FOUND,
    LEAST_SIDE,
    MISSED,
    TRUE,
    Mark,
    Region,
    annotation_marks,
    close_up,
    context_marks,
    detection_marks,
    figure,
    whole,
)
from efficientdet.report.limits import Limits

A, B, FAR = (0, 0, 40, 40), (100, 40, 40, 40), (150, 0, 10, 10)
COORDINATES = st.floats(-50, 250) | st.just(float("nan"))


def test_marks_of_an_image(scene, look) -> None:
    found = [(1, A, 0.9), (2, FAR, 0.8), (1, (0, 60, 5, 5), 0.1)]
    study = look([scene("0"), scene("1", [(1, B), (1, A)], crowds=[(3, FAR)], float=found)])
    marks = annotation_marks(study, study.contenders[0], 1)
    assert [(mark.kind, mark.label, mark.labelled) for mark in marks] == [
        (FOUND, "class 1", False),
        (CROWD, "class 3", False),
        (MISSED, "class 1", True),
    ]
    marks = detection_marks(study, study.contenders[0], 1)
    assert [(m.kind, m.label, m.labelled) for m in marks] == [
        (TRUE, "class 1 0.90", False),
        (FALSE, "class 2 0.80", True),
    ]
    assert [(mark.kind, mark.box) for mark in context_marks(study, 1, besides=[0, 2])] == [(CONTEXT, A)]


def test_a_figure_shows_the_uppermost_of_the_marks_that_meet_it(scene, look) -> None:
    study = look([scene("1")])
    nowhere, broken, endless = (150, 60, 9, 9), (float("nan"),) * 4, (0, 0, float("inf"), 9)
    boxes = [A, nowhere, broken, endless, (-9, -9, 300, 300), (49, 49, 9, 9)]
    marks = [Mark(box, FOUND, str(i)) for i, box in enumerate(boxes)]
    assert [mark.label for mark in figure(study, 0, Region(0, 0, 50, 50), marks, ["1"]).marks] == ["0", "4", "5"]
    few = replace(study, limits=Limits(marks=2))
    assert [mark.label for mark in figure(few, 0, Region(0, 0, 50, 50), marks, ["1"]).marks] == ["4", "5"]


def test_the_whole_image(scene, look) -> None:
    assert whole(look([scene("1")]), 0) == (0, 0, 200, 100)


def test_a_close_up_has_room_around_its_boxes(scene, look) -> None:
    study = look([scene("1")])
    assert close_up(study, 0, [np.array([90, 45, 10, 10])]) == (95 - LEAST_SIDE // 2, 2, LEAST_SIDE, LEAST_SIDE)
    assert close_up(study, 0, [np.array(FAR)]) == (200 - LEAST_SIDE, 0, LEAST_SIDE, LEAST_SIDE), "moved inside"
    assert close_up(study, 0, [np.array(A), np.array(B)]) == (0, 0, 200, 100)


@given(st.lists(st.tuples(*[COORDINATES] * 4), min_size=1, max_size=2))
def test_a_close_up_lies_in_the_image(scene, look, boxes: list) -> None:
    x, y, width, height = close_up(look([scene("1")]), 0, map(np.array, boxes))
    assert 0 <= x < x + width <= 200
    assert 0 <= y < y + height <= 100
