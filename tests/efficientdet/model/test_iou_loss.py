"""Overlap losses and their gradients against google/automl's numbers (golden/losses.npz), by hand and by law."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import encode
from efficientdet.boxes import iou
from efficientdet.model.iou_loss import decoded_iou_loss, iou_loss

KINDS = ["iou", "giou", "diou", "ciou"]


def loss_and_gradient(kind: str, predictions: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    boxes = tf.constant(predictions, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        loss = iou_loss(kind, boxes, tf.constant(targets, tf.float32))
    return loss.numpy(), tape.gradient(loss, boxes).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_reference(shared: Path, kind: str):
    """40 pairs of boxes, among them background, equal boxes, boxes apart and one with swapped corners."""
    golden = np.load(shared / "golden/losses.npz")
    loss, gradient = loss_and_gradient(kind, golden["iou_pred"], golden["iou_target"])
    np.testing.assert_allclose(loss, golden[f"loss_{kind}"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, golden[f"grad_{kind}"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("iou", 1 - 1 / 3),
        ("giou", 1 - 1 / 3),  # the two fill their hull
        ("diou", 1 - 1 / 3 + 1 / 13),  # centres 1 apart, hull 3 by 2
        ("ciou", 1 - 1 / 3 + 1 / 13),
    ],
)
def test_by_hand(kind: str, expected: float):
    """Two squares of side 2, one beside the other by 1."""
    loss, _ = loss_and_gradient(kind, [0, 0, 2, 2], [0, 1, 2, 3])
    assert loss == pytest.approx(expected, rel=1e-6)


def test_ciou_adds_the_difference_in_shape():
    """A 4x1 against a 1x4 box of the same centre: IoU 1/7."""
    loss, _ = loss_and_gradient("ciou", [0, 1.5, 4, 2.5], [1.5, 0, 2.5, 4])
    shape = (2 / np.pi * (np.arctan(4) - np.arctan(1 / 4))) ** 2
    assert loss == pytest.approx(1 - 1 / 7 + shape**2 / (1 - 1 / 7 + shape), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", [[0, 0, 0, 0], [3, 3, 3, 9], [5, 5, 1, 9], [2, 2, 6, 6], [2, 2, 6, 4]], ids=str)
def test_degenerate_boxes_are_harmless(kind: str, target: list[float]):
    """Targets without area cost nothing; no prediction, be it a point or swapped, makes a NaN."""
    predictions = np.float32([[2, 2, 6, 6], [4, 4, 4, 4], [6, 6, 2, 2], [0, 0, 0, 0], [9, 9, 9, 12]])
    loss, gradient = loss_and_gradient(kind, predictions, np.broadcast_to(target, (5, 4)))
    assert np.all(np.isfinite(loss))
    assert np.all(np.isfinite(gradient))
    has_area = target[2] > target[0] and target[3] > target[1]
    assert np.all(loss[1:] > 0) if has_area else not loss.any() and not gradient.any()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_boxes_cost_nothing_and_the_loss_never_undercuts_iou(kind: str):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (2, 30, 2))
    boxes, others = np.concatenate([low, low + rng.uniform(5, 40, low.shape)], axis=-1).astype(np.float32)
    np.testing.assert_allclose(loss_and_gradient(kind, boxes, boxes)[0], 0, atol=1e-6)
    loss, _ = loss_and_gradient(kind, boxes, others)
    assert np.all(loss >= 1 - np.diag(iou(boxes, others)) - 1e-6)


def test_deltas_are_decoded_and_background_is_left_out():
    anchors = np.float32([[10, 10, 20, 20], [30, 10, 50, 20], [5, 5, 15, 25]])
    boxes = np.float32([[11, 8, 23, 21], [28, 12, 51, 21], [3, 6, 16, 23]])
    found = np.float32([[12, 9, 20, 21], [28, 15, 51, 21], [4, 6, 16, 25]])
    targets, deltas = encode(boxes, anchors).numpy()[None], encode(found, anchors).numpy()[None]
    targets[0, 1], deltas[0, 1] = 0, 1000  # background, where an untrained network overflows
    predicted = tf.constant(deltas)
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        loss = decoded_iou_loss("ciou", predicted, tf.constant(targets), tf.constant(anchors))
    expected = iou_loss("ciou", tf.constant(found), tf.constant(boxes)).numpy() * [1, 0, 1]
    np.testing.assert_allclose(loss[0], expected, atol=1e-5)
    assert np.all(np.isfinite(tape.gradient(loss, predicted)))


def test_a_coordinate_whose_target_is_zero_is_dropped():
    """Both boxes keep the other three, and a 0 in the place of this one."""
    anchor, box, found = np.float32([[10, 10, 20, 20], [12, 10, 28, 20], [11, 9, 23, 21]])
    targets = encode(box, anchor).numpy()
    assert list(targets == 0) == [False, True, False, True]
    loss = decoded_iou_loss("iou", encode(found, anchor)[None], targets[None], anchor)
    assert float(loss[0]) == 0  # the target, without its xmin and xmax, has no area
