"""Normalisations of a network, on one device and on several, frozen and not."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from efficientdet.model.detector import reference_name
from efficientdet.model.layers import BatchNorm, batch_norm
from efficientdet.norms import freeze_norms, set_up_norms


@pytest.fixture
def model() -> keras.Model:
    """Two stages of a convolution and its normalisation."""
    inputs = keras.Input((6, 6, 3))
    outputs = inputs
    for stage in ("backbone", "head"):
        outputs = keras.layers.Conv2D(4, 3, padding="same", name=f"{stage}_conv")(outputs)
        outputs = batch_norm(f"{stage}_bn")(outputs)
    return keras.Model(inputs, outputs)


def norms(model: keras.Model) -> dict[str, BatchNorm]:
    return {layer.name: layer for layer in model.layers if isinstance(layer, BatchNorm)}


def test_one_device_uses_tensorflows_kernel_and_gets_the_same(model: keras.Model):
    images = np.random.default_rng(0).normal(3, 2, (4, 6, 6, 3)).astype(np.float32)
    weights = model.get_weights()
    plain, moved = model(images, training=True).numpy(), model.get_weights()
    model.set_weights(weights)
    set_up_norms(model, replicas=1)
    assert all(layer.kernel and not layer.synchronized for layer in norms(model).values())
    np.testing.assert_allclose(model(images, training=True), plain, atol=1e-5)
    for one, other in zip(model.get_weights(), moved, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_several_devices_share_the_statistics_of_their_batch(model: keras.Model):
    set_up_norms(model, replicas=2)
    for layer in norms(model).values():
        assert layer.synchronized
        assert layer.replicas == 2
        assert layer.kernel is None, "the kernel knows one device's batch only"


def test_statistics_are_frozen_with_their_scale(model: keras.Model):
    freeze_norms(model, [v for v in model.trainable_variables if "backbone" not in reference_name(v)])
    assert {name: layer.trainable for name, layer in norms(model).items()} == {"backbone_bn": False, "head_bn": True}
    before = norms(model)["backbone_bn"].moving_mean.numpy()
    model(np.full((2, 6, 6, 3), 9.0, np.float32), training=True)
    np.testing.assert_array_equal(norms(model)["backbone_bn"].moving_mean, before)
    assert np.any(norms(model)["head_bn"].moving_mean.numpy() != 0)
