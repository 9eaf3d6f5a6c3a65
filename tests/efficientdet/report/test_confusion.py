from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.report.confusion import Confusion, confusion

A, B, FAR = (0, 0, 40, 40), (100, 40, 40, 40), (150, 0, 10, 10)


def test_what_is_taken_for_what(scene, look) -> None:
    found = [(1, A, 0.9), (3, B, 0.8), (3, FAR, 0.8)]
    study = look([scene("1", [(1, A), (2, B), (2, (0, 60, 30, 30))], float=found)])
    matrix = confusion(study, study.contenders[0])
    assert matrix.classes == [1, 2, 3]
    assert matrix.counts.tolist() == [[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert matrix.largest(5) == [(1, 2, 1)]


def test_a_true_detection_keeps_its_object(scene, look) -> None:
    """A bolder one of another class on the same object is one of background then."""
    study = look([scene("1", [(1, A)], float=[(2, A, 0.9), (1, A, 0.6)])])
    assert confusion(study, study.contenders[0]).counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_each_object_and_detection_is_taken_once(scene, look) -> None:
    study = look([scene("1", [(1, A)], float=[(2, A, 0.9), (3, A, 0.8)])])
    assert confusion(study, study.contenders[0]).counts.tolist() == [[0, 1, 0, 0], [0] * 4, [0] * 4, [0, 0, 1, 0]]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_its_sums_are_those_of_the_table(random_images, look, seed: int) -> None:
    study = look(random_images(seed))
    [contender] = study.contenders
    matrix = confusion(study, contender)
    for i, class_id in enumerate(matrix.classes):
        point = contender.points[class_id]
        assert matrix.counts[i, i] == point.true
        assert matrix.counts[i].sum() == point.positives
        assert matrix.counts[:, i].sum() == point.true + point.false
    unseen = [point for class_id, point in contender.points.items() if class_id not in matrix.classes]
    assert not any(point.true or point.false or point.positives for point in unseen)
    assert matrix.counts[-1, -1] == 0


def test_the_largest_counts() -> None:
    matrix = Confusion([4, 5], np.array([[5, 1, 0], [3, 2, 9], [0, 4, 0]]))
    assert matrix.cells(3) == [(0, 0, 5), (1, 2, 9), (2, 1, 4)], "row by row"
    assert len(matrix.cells(100)) == 6
    assert matrix.largest(5) == [(1, 0, 3), (0, 1, 1)]


def test_the_busiest_classes() -> None:
    counts = np.array([[9, 0, 0, 0], [0, 1, 2, 0], [0, 0, 3, 1], [0, 0, 0, 0]])
    part = Confusion([4, 5, 6], counts).busiest(2)
    assert part.classes == [5, 6]
    assert part.counts.tolist() == [[1, 2, 0], [0, 3, 1], [0, 0, 0]]


def test_without_anything(scene, look) -> None:
    study = look([scene("1", float=[])])
    assert confusion(study, study.contenders[0]).counts.tolist() == [[0]]
