"""Deterministic kernels are used where they exist, and only for as long as a run asks for them."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tensorflow.python.framework import config as framework

from efficientdet.config import TrainingConfig
from efficientdet.determinism import deterministic, wants_determinism


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, not tf.config.list_physical_devices("GPU")),
        ({"deterministic": True}, True),
        ({"deterministic": False}, False),
        ({"xla": True}, False),
        ({"strategy": "tpu"}, False),
    ],
)
def test_who_gets_deterministic_kernels(settings: dict, wanted: bool):
    assert wants_determinism(TrainingConfig(**settings)) is wanted


def test_a_run_leaves_the_process_as_it_was():
    before = framework.is_op_determinism_enabled()
    with deterministic(True):
        assert framework.is_op_determinism_enabled()
        with pytest.raises(ZeroDivisionError), deterministic(False):
            print(1 / framework.is_op_determinism_enabled())
        assert framework.is_op_determinism_enabled()
    assert framework.is_op_determinism_enabled() is before


def test_max_pool_has_no_deterministic_gradient_under_xla():
    """The fact that the default rests on; where this fails, TensorFlow has learnt it and the rule can go."""

    @tf.function(jit_compile=True)
    def gradient(images: tf.Tensor) -> tf.Tensor:
        return tf.gradients(tf.nn.max_pool2d(images, 3, 2, "SAME"), images)[0]

    images = tf.random.stateless_uniform([1, 8, 8, 1], seed=(1, 2))
    with deterministic(True), pytest.raises(tf.errors.UnimplementedError, match="deterministic XLA"):
        gradient(images)
    with deterministic(False):
        assert gradient(images).shape == images.shape
