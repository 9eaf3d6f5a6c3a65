"""The network and its losses on another Keras backend than the one we train with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import Targets, anchors_for
from efficientdet.model.detector import build_detector, normalise, reference_name
from efficientdet.model.losses import detection_loss, l2
from tests.efficientdet import jax_step

pytestmark = pytest.mark.jax


def test_a_training_step_on_jax_equals_tensorflow(tmp_path: Path):
    """Inference outputs, losses, gradient norm, and every weight and statistic after one update."""
    keras.utils.set_random_seed(0)
    model = build_detector(jax_step.CONFIG, jax_step.CLASSES)
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype(np.float32)
    images = np.asarray(normalise(pixels, jax_step.CONFIG))
    anchors = anchors_for(jax_step.CONFIG)
    boxes = [(tf.constant([[4.0 * i, 8, 40, 40 + 5 * i]]), tf.constant([1 + i % 3])) for i in range(4)]
    targets = tf.nest.map_structure(lambda *parts: tf.stack(parts), *(anchors.assign(*box) for box in boxes))
    given = {reference_name(v): v.numpy() for v in model.weights}
    given |= {f"classes_{i}": t for i, t in enumerate(targets.classes)}
    given |= {f"boxes_{i}": t for i, t in enumerate(targets.boxes)}
    np.savez(
        tmp_path / "given.npz",
        images=images,
        num_levels=np.zeros(len(targets.classes)),
        num_positives=targets.num_positives,
        **given,
    )
    on_jax = run_on_jax(tmp_path)
    assert on_jax["backend"] == "jax"
    raw = model(images, training=False)
    for i, (logits, deltas) in enumerate(zip(*raw, strict=True)):
        np.testing.assert_allclose(on_jax[f"logits_{i}"], logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(on_jax[f"deltas_{i}"], deltas, rtol=1e-4, atol=1e-5)
    losses, norm = step(model, images, targets)
    assert float(on_jax["gradient_norm"]) == pytest.approx(norm, rel=1e-3)
    for name, value in losses.items():
        assert float(on_jax[f"loss/{name}"]) == pytest.approx(float(value), rel=1e-5), name
    for variable in model.weights:
        name = reference_name(variable)
        np.testing.assert_allclose(on_jax[f"after/{name}"], variable.numpy(), rtol=1e-3, atol=2e-4, err_msg=name)
    moved = [name for name in given if f"after/{name}" in on_jax and np.any(on_jax[f"after/{name}"] != given[name])]
    assert len(moved) > 0.9 * len(model.weights)


def step(model: keras.Model, images: np.ndarray, targets: Targets) -> tuple[dict[str, tf.Tensor], float]:
    """The same update on TensorFlow: losses and gradient norm."""
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    with tf.GradientTape() as tape:
        losses = detection_loss(model(images, training=True), targets, jax_step.CLASSES, **jax_step.LOSS)
        losses["total"] = losses["loss"] + l2(model.trainable_variables, 4e-5)
    gradients = tape.gradient(losses["total"], [v.value for v in model.trainable_variables])
    optimizer.apply(gradients, model.trainable_variables)
    return losses, float(tf.linalg.global_norm(gradients))


def run_on_jax(folder: Path) -> dict[str, np.ndarray]:
    """What jax_step.py makes of given.npz."""
    command = [sys.executable, jax_step.__file__, str(folder / "given.npz"), str(folder / "done.npz")]
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(folder / "done.npz"))
