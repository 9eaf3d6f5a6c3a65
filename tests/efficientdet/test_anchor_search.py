"""The search finds whatever trying every pair would."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.anchor_search import paired_iou
from efficientdet.anchors import Anchors
from efficientdet.boxes import iou

GRIDS = {
    "square": Anchors((64, 64), 3, 7, 3, (1.0, 2.0, 0.5), 4.0),
    "odd": Anchors((71, 97), 2, 5, 2, (1.0, (1.5, 0.5)), (2.0, 4.0, 3.0, 5.0)),
    "one": Anchors((64, 96), 3, 3, 1, (1.0,), 4.0),
}
SIDES = st.sampled_from([0.0, 1.0, 8.0, 16.0, 32.0]) | st.floats(0, 150, width=32)  # whole strides make ties
BOXES = st.lists(st.tuples(st.floats(-40, 90, width=32), st.floats(-40, 90, width=32), SIDES, SIDES), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([*GRIDS]), BOXES, st.sampled_from([0.5, 0.3, 0.9]))
def test_no_pair_that_matters_is_missed(name: str, rows: list[tuple], least: float):
    anchors, table = GRIDS[name], np.array(rows, np.float32).reshape(-1, 4)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:]], axis=1)
    found = anchors._search.pairs(tf.constant(boxes), least)
    pairs = dict(zip(zip(found.box.numpy(), found.anchor.numpy(), strict=True), found.iou.numpy(), strict=True))
    assert len(pairs) == len(found.iou)
    overlap = iou(boxes, anchors.boxes)
    for box, anchor in zip(*np.nonzero(overlap >= least * 1.0001), strict=True):
        assert (box, anchor) in pairs
    for box, best in enumerate(overlap.max(axis=1)):
        if best > 1e-4:
            assert all((box, anchor) in pairs for anchor in np.nonzero(overlap[box] >= best * (1 - 1e-5))[0])
    for (box, anchor), value in pairs.items():
        np.testing.assert_allclose(value, overlap[box, anchor], rtol=1e-3, atol=1e-6)


def test_few_pairs_are_looked_at():
    """Of 49 104 anchors at 512 pixels; a box has some hundreds above an IoU of 0.5 at most."""
    anchors = Anchors((512, 512), 3, 7, 3, (1.0, 2.0, 0.5), 4.0)
    boxes = tf.constant([[100.0, 100, 140, 150], [10, 20, 500, 400], [5, 5, 6, 300]])
    assert len(anchors._search.pairs(boxes, 0.5).iou) < 1500


def test_a_box_without_area_or_outside_is_in_no_pair():
    boxes = tf.constant([[5.0, 5, 5, 9], [9, 9, 5, 5], [-5000, 0, -4000, 20]])
    assert len(GRIDS["square"]._search.pairs(boxes, 0.5).iou) == 0
    assert len(GRIDS["square"]._search.pairs(tf.zeros([0, 4]), 0.5).iou) == 0


def test_paired_iou():
    boxes = tf.constant([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 0, 5]])
    others = tf.constant([[0.0, 5, 10, 15], [20, 20, 30, 30], [0, 0, 0, 5]])
    np.testing.assert_allclose(paired_iou(boxes, others), [1 / 3, 0, 0])
