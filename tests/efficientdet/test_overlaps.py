from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet import overlaps
from efficientdet.boxes import iou, xywh_to_yxyx
from efficientdet.overlaps import Annotations, Candidates, Groundtruth, Scene, chunks_of, overlapping_pairs

NOTHING = Groundtruth([], [], [], [])
LEAST = 0.3 + 1e-7
"""Which no boxes on a grid reach exactly, where the two ways to compute an overlap would round apart."""


def pairs_of(scenes: list[Scene], least: float = LEAST) -> tuple[Candidates, Annotations, list[tuple[int, int, float]]]:
    """Rows of detections and annotations, and the pairs as (detection, annotation, overlap)."""
    found, truth = Candidates.of(scenes), Annotations.of([scene[1] for scene in scenes])
    columns = overlapping_pairs(found, truth, truth.is_crowd, least)
    return found, truth, list(zip(*(column.tolist() for column in columns), strict=True))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_pairs_are_all_that_overlap_in_one_image_and_class(random_coco: Any, scenes: Any, seed: int) -> None:
    found, truth, pairs = pairs_of(scenes(*random_coco(seed, images=4, classes=2, most=15, coarse=8)))
    table = iou(xywh_to_yxyx(found.boxes.T), xywh_to_yxyx(truth.boxes.T))
    own = np.prod(found.boxes[2:], axis=0)[:, None]
    shared = table * (own + np.prod(truth.boxes[2:], axis=0)) / (1 + table)
    table = np.where(truth.is_crowd, shared / own, table) * (found.key[:, None] == truth.key)
    assert {(d, g) for d, g, _ in pairs} == set(
        zip(*(rows.tolist() for rows in np.nonzero(table >= LEAST)), strict=True)
    )
    assert [overlap for *_, overlap in pairs] == pytest.approx([table[d, g] for d, g, _ in pairs])
    assert pairs == sorted(pairs, key=lambda pair: (pair[0], -pair[1]))


def test_pairs_do_not_depend_on_how_many_are_computed_at_a_time(
    random_coco: Any, scenes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scenes(*random_coco(3, images=6, classes=2, most=15, coarse=8))
    *_, pairs = pairs_of(made)
    assert len(pairs) > 40
    for at_a_time in (1, 7, 20):
        monkeypatch.setattr(overlaps, "PAIRS", at_a_time)
        assert pairs_of(made)[2] == pairs


def test_candidates_stand_by_image_class_and_score() -> None:
    boxes = [[float(i), 0.0, 1.0, 1.0] for i in range(5)]
    found = Candidates.of(
        [("a", NOTHING, [], [], []), ("b", NOTHING, boxes, [2, -1, 2, 2, 2], [0.5, 1, 0.9, 0.5, 0.1])]
    )
    assert found.images.tolist() == [1] * 5
    assert dict(zip(found.boxes[0].tolist(), found.classes.tolist(), strict=True)) == {0: 2, 1: -1, 2: 2, 3: 2, 4: 2}
    of_class = found.classes == 2
    assert found.boxes[0, of_class].tolist() == [2, 0, 3, 4]  # of equal scores the first given
    assert found.rank[of_class].tolist() == [0, 1, 2, 3]
    best = Candidates.of([("b", NOTHING, boxes, [2] * 5, [0.5, 1, 0.9, 0.5, 0.1])], most=2)
    assert best.boxes[0].tolist() == [1, 2]


def test_annotations_keep_the_order_of_the_file() -> None:
    truth = Groundtruth([[0, 0, 1, 1], [1, 0, 1, 1], [2, 0, 1, 1]], [3, 1, 3], [0, 1, 0], [5, 6, 7])
    annotations = Annotations.of([NOTHING, truth])
    assert annotations.area.tolist() == [6, 5, 7]
    assert annotations.is_crowd.tolist() == [True, False, False]
    assert annotations.difficult.tolist() == [False] * 3
    counts = annotations.per_class(np.array([[True, False], [True, True], [True, False]]), images=2)
    assert [{c: n.tolist() for c, n in of_image.items()} for of_image in counts] == [{}, {1: [1, 0], 3: [2, 1]}]


def test_chunks_are_all_images_in_order() -> None:
    scenes = [(str(i), NOTHING, [], [], []) for i in range(601)]
    chunks = list(chunks_of(scenes))
    assert len(chunks) > 1
    assert [scene for chunk in chunks for scene in chunk] == scenes


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="image 1 of 2: 1 classes but 2 values"):
        Candidates.of([("a", NOTHING, [], [], []), ("b", NOTHING, [[0, 0, 1, 1]], [1], [0.5, 0.5])])
