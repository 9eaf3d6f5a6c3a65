"""The losses against google/automl's numbers (golden/losses.npz, total_loss.npz) and at their extremes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import IGNORED, Anchors, Targets
from efficientdet.model.detector import RawOutputs
from efficientdet.model.losses import detection_loss, focal_loss, huber_loss, l2

DEFAULTS = {"alpha": 0.25, "gamma": 1.5, "label_smoothing": 0.0, "delta": 0.1, "box_loss_weight": 50.0}
LEVELS = range(3, 8)
ANCHORS = Anchors((64, 64), 3, 7, 3, (1.0, 2.0, 0.5), 4.0)  # of golden/total_loss.npz


@pytest.mark.parametrize("normaliser", [1, 7])
@pytest.mark.parametrize(
    ("key", "alpha", "gamma", "smoothing"),
    [
        ("focal_a0.25_g1.5_s0", 0.25, 1.5, 0.0),
        ("focal_a0.25_g1.5_s0.1", 0.25, 1.5, 0.1),
        ("focal_a0.25_g2_s0", 0.25, 2.0, 0.0),
        ("focal_a0.5_g0_s0", 0.5, 0.0, 0.0),
        ("focal_a0.75_g3_s0.2", 0.75, 3.0, 0.2),
    ],
)
def test_focal_loss_equals_the_reference(
    shared: Path, key: str, alpha: float, gamma: float, smoothing: float, normaliser: int
):
    golden = np.load(shared / "golden/losses.npz")
    one_hot = np.asarray(keras.ops.one_hot(golden["labels"], 5)).reshape(golden["onehot"].shape)
    np.testing.assert_array_equal(one_hot, golden["onehot"])
    loss = focal_loss(one_hot, golden["logits"], alpha, gamma, smoothing)
    np.testing.assert_allclose(loss / normaliser, golden[f"{key}_n{normaliser}"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_focal_loss_of_extreme_logits_equals_the_reference(shared: Path, target: float):
    golden = np.load(shared / "golden/losses.npz")
    logits = golden["extreme_logits"]
    loss = focal_loss(np.full_like(logits, target), logits, 0.25, 1.5, 0.0)
    np.testing.assert_allclose(loss, golden[f"focal_extreme_t{target:.0f}"], rtol=1e-5, atol=1e-6)


def test_focal_loss_by_hand():
    """p = 1/2: alpha * (1/2)**gamma * log 2 for a one, with 1 - alpha for a zero."""
    loss = focal_loss(np.float32([1, 0]), np.float32([0, 0]), 0.25, 2.0, 0.0)
    np.testing.assert_allclose(loss, [0.25 * 0.25 * np.log(2), 0.75 * 0.25 * np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.5])
def test_focal_gradient_is_finite_for_any_logit(gamma: float):
    logits = tf.constant([[-1e4, -100.0, 0.0, 100.0, 1e4]] * 2)
    one_hot = tf.constant([[1.0] * 5, [0.0] * 5])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(focal_loss(one_hot, logits, 0.25, gamma, 0.1))
    assert np.isfinite(loss)
    assert np.all(np.isfinite(tape.gradient(loss, logits)))


@pytest.mark.parametrize("normaliser", [1, 7])
@pytest.mark.parametrize("delta", [0.1, 0.5, 1.0])
def test_huber_loss_equals_the_reference(shared: Path, delta: float, normaliser: int):
    golden = np.load(shared / "golden/losses.npz")
    total = np.sum(huber_loss(golden["box_targets"], golden["box_outputs"], delta)) / (4 * normaliser)
    assert total == pytest.approx(float(golden[f"huber_d{delta:g}_n{normaliser}"]), rel=1e-5)


def test_huber_loss_by_hand():
    """Quadratic to delta, then linear with the same slope; nothing where the target is exactly 0."""
    targets, predictions = np.float32([1, 1, 0, 1]), np.float32([1.05, 1.3, 9.0, 1.0])
    np.testing.assert_allclose(
        huber_loss(targets, predictions, 0.1), [0.5 * 0.05**2, 0.1 * 0.3 - 0.5 * 0.1**2, 0, 0], rtol=1e-4
    )


def golden_batch(golden: np.lib.npyio.NpzFile) -> tuple[RawOutputs, Targets]:
    raw = RawOutputs([golden[f"cls_{i}"] for i in LEVELS], [golden[f"box_{i}"] for i in LEVELS])
    classes = tuple(golden[f"labels/cls_targets_{i}"] for i in LEVELS)
    boxes = tuple(golden[f"labels/box_targets_{i}"] for i in LEVELS)
    return raw, Targets(classes, boxes, golden["num_positives"])


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("default", {}),
        ("smooth", {"label_smoothing": 0.1}),
        ("channels", {"alpha": 0.5, "gamma": 2.0, "delta": 0.2, "box_loss_weight": 10.0}),
        ("ciou", {"iou_loss": "ciou", "anchor_boxes": ANCHORS.boxes}),
        ("giou_nobox", {"iou_loss": "giou", "anchor_boxes": ANCHORS.boxes, "box_loss_weight": 0.0}),
    ],
)
def test_detection_loss_equals_the_reference(shared: Path, case: str, changes: dict[str, Any]):
    golden = np.load(shared / "golden/total_loss.npz")
    losses = detection_loss(*golden_batch(golden), 4, **(DEFAULTS | changes))
    names = {"loss": "det_loss", "class_loss": "cls_loss", "box_loss": "box_loss", "box_iou_loss": "box_iou_loss"}
    for ours, value in losses.items():
        # The reference leaves a box loss of weight 0 out of its sum and reports 0.
        theirs = "default/box_loss" if (case, ours) == ("giou_nobox", "box_loss") else f"{case}/{names[ours]}"
        assert float(value) == pytest.approx(float(golden[theirs]), rel=1e-5)
    assert ("box_iou_loss" in losses) == ("iou_loss" in changes)


def test_iou_loss_weight(shared: Path):
    golden = golden_batch(np.load(shared / "golden/total_loss.npz"))
    once, thrice = (
        detection_loss(*golden, 4, **DEFAULTS, iou_loss="diou", iou_loss_weight=weight, anchor_boxes=ANCHORS.boxes)
        for weight in (1.0, 3.0)
    )
    assert float(once["box_iou_loss"]) == float(thrice["box_iou_loss"])
    assert float(thrice["loss"] - once["loss"]) == pytest.approx(2 * float(once["box_iou_loss"]), rel=1e-3)


def batch(num_positives: list[float]) -> tuple[RawOutputs, Targets]:
    rng = np.random.default_rng(0)
    logits, deltas = rng.standard_normal((2, 2, 2, 2 * 3)), rng.standard_normal((2, 2, 2, 2 * 4))
    classes = rng.integers(-1, 3, (2, 2, 2, 2))
    boxes = rng.standard_normal((2, 2, 2, 2, 4)) * (classes >= 0)[..., None]
    raw = RawOutputs([np.float32(logits)], [np.float32(deltas)])
    return raw, Targets((np.int32(classes),), (np.float32(boxes.reshape(2, 2, 2, 8)),), np.float32(num_positives))


def test_normaliser_defaults_to_positives_plus_one():
    by_default = detection_loss(*batch([3, 5]), 3, **DEFAULTS)
    explicit = detection_loss(*batch([3, 5]), 3, **DEFAULTS, normaliser=9.0)
    halved = detection_loss(*batch([3, 5]), 3, **DEFAULTS, normaliser=18.0)
    for name, value in by_default.items():
        assert float(value) == pytest.approx(float(explicit[name]))
        assert float(value) == pytest.approx(2 * float(halved[name]))
    total = float(by_default["class_loss"]) + 50 * float(by_default["box_loss"])
    assert float(by_default["loss"]) == pytest.approx(total)


def test_ignored_anchors_cost_no_class_loss():
    raw, targets = batch([3, 5])
    chosen = targets.classes[0] == 1
    without = targets._replace(classes=(np.where(chosen, IGNORED, targets.classes[0]),))
    one_hot = np.eye(3, dtype=np.float32)[targets.classes[0][chosen]]
    logits = raw.class_logits[0].reshape(2, 2, 2, 2, 3)[chosen]
    share = np.sum(focal_loss(one_hot, logits, 0.25, 1.5, 0.0)) / 9
    before, after = (float(detection_loss(raw, t, 3, **DEFAULTS)["class_loss"]) for t in (targets, without))
    assert before - after == pytest.approx(share, rel=1e-4)


def test_half_precision_outputs_are_lifted_first():
    raw, targets = batch([3, 5])
    half = RawOutputs([tf.cast(raw[0][0], tf.float16)], [tf.cast(raw[1][0], tf.float16)])
    losses = detection_loss(half, targets, 3, **DEFAULTS)
    assert losses["loss"].dtype == tf.float32
    assert float(losses["loss"]) == pytest.approx(float(detection_loss(raw, targets, 3, **DEFAULTS)["loss"]), rel=1e-2)


def test_l2_sees_kernels_only():
    layers = [keras.layers.SeparableConv2D(2, 3), keras.layers.DepthwiseConv2D(3), keras.layers.BatchNormalization()]
    for layer in layers:
        layer.build((None, 4, 4, 2))
        for variable in layer.weights:
            variable.assign(np.ones(variable.shape, np.float32))
    variables = [v for layer in layers for v in layer.trainable_variables]
    # 3*3*2 depthwise + 2*2 pointwise, and 3*3*2 of the depthwise convolution.
    assert float(l2(variables, 0.1)) == pytest.approx(0.1 * 0.5 * (18 + 4 + 18))
