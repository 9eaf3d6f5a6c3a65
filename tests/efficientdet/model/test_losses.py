"""The losses against google/automl's numbers (golden/losses.npz, total_loss.npz) and at their extremes."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import Targets
from efficientdet.model.detector import RawOutputs
from efficientdet.model.losses import detection_loss, focal_loss, huber_loss, l2

DEFAULTS = {"alpha": 0.25, "gamma": 1.5, "label_smoothing": 0.0, "delta": 0.1, "box_loss_weight": 50.0}
LEVELS = range(3, 8)


@pytest.mark.parametrize(
    ("key", "alpha", "gamma", "smoothing"),
    [
        ("focal_a0.25_g1.5_s0_n1", 0.25, 1.5, 0.0),
        ("focal_a0.25_g1.5_s0.1_n1", 0.25, 1.5, 0.1),
        ("focal_a0.25_g2_s0_n1", 0.25, 2.0, 0.0),
        ("focal_a0.5_g0_s0_n1", 0.5, 0.0, 0.0),
        ("focal_a0.75_g3_s0.2_n1", 0.75, 3.0, 0.2),
    ],
)
def test_focal_loss_equals_the_reference(shared: Path, key: str, alpha: float, gamma: float, smoothing: float):
    golden = np.load(shared / "golden/losses.npz")
    loss = focal_loss(golden["onehot"], golden["logits"], alpha, gamma, smoothing)
    np.testing.assert_allclose(loss, golden[key], rtol=1e-4, atol=1e-6)


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


@pytest.mark.parametrize(("key", "delta"), [("huber_d0.1_n1", 0.1), ("huber_d0.5_n1", 0.5), ("huber_d1_n1", 1.0)])
def test_huber_loss_equals_the_reference(shared: Path, key: str, delta: float):
    golden = np.load(shared / "golden/losses.npz")
    total = np.sum(huber_loss(golden["box_targets"], golden["box_outputs"], delta)) / 4
    assert total == pytest.approx(float(golden[key]), rel=1e-5)


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
    ],
)
def test_detection_loss_equals_the_reference(shared: Path, case: str, changes: dict[str, float]):
    golden = np.load(shared / "golden/total_loss.npz")
    losses = detection_loss(*golden_batch(golden), 4, **(DEFAULTS | changes))
    for ours, theirs in {"loss": "det_loss", "class_loss": "cls_loss", "box_loss": "box_loss"}.items():
        assert float(losses[ours]) == pytest.approx(float(golden[f"{case}/{theirs}"]), rel=1e-5)


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
