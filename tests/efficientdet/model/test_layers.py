"""Resampling against TensorFlow's own ops, stochastic depth by its law."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.model.layers import DropConnect, Resample, batch_norm


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40))
def test_going_up_is_nearest_neighbour_without_half_pixels(height: int, width: int):
    """Feature sizes made by halving: 2h or 2h - 1 above h. google/automl's op is resize_nearest_neighbor of TF 1."""
    size = (height, width)
    features = noise(1, (height + 1) // 2, (width + 1) // 2, 2)
    expected = tf.compat.v1.image.resize_nearest_neighbor(features, size)
    np.testing.assert_array_equal(Resample(size, 2)(features), expected)


@pytest.mark.parametrize(("before", "after"), [(20, 10), (5, 3), (3, 2), (2, 1), (1, 1), (7, 2)])
def test_going_down_is_max_pooling(before: int, after: int):
    features = noise(1, before, before, 2)
    stride = (before - 1) // after + 1
    expected = tf.nn.max_pool2d(features, stride + 1, stride, "SAME") if before > after else features
    resampled = Resample((after, after), 2)(features)
    assert resampled.shape == (1, after, after, 2)
    np.testing.assert_array_equal(resampled, expected)


def test_one_axis_may_stay_while_the_other_shrinks():
    features = noise(1, 1, 3, 2)
    resampled = Resample((1, 2), 2)(features)
    np.testing.assert_array_equal(resampled[0, 0, :, 0], [features[0, 0, :2, 0].max(), features[0, 0, 1:, 0].max()])


def test_channels_are_converted_only_where_they_differ():
    same, other = Resample((4, 4), 8), Resample((4, 4), 8)
    same.build((None, 4, 4, 8))
    other.build((None, 4, 4, 3))
    assert not same.weights
    assert [tuple(v.shape) for v in other.trainable_weights] == [(1, 1, 3, 8), (8,), (8,), (8,)]


def test_batch_norm_has_the_reference_constants():
    layer = batch_norm("bn")
    assert (layer.momentum, layer.epsilon) == (0.99, 1e-3)


def test_drop_connect_drops_whole_images_and_keeps_the_mean():
    layer = DropConnect(0.8, keras.random.SeedGenerator(1))
    branch = np.ones((4000, 2, 2, 3), np.float32)
    np.testing.assert_array_equal(layer(branch, training=False), branch)
    kept = np.asarray(layer(branch, training=True)).reshape(4000, -1)
    assert set(np.unique(kept)) == {0.0, np.float32(1 / np.float32(0.8))}
    assert np.all(kept.min(1) == kept.max(1))
    assert abs(kept.mean() - 1.0) < 0.03  # 4.7 standard deviations


def test_drop_connect_draws_again_from_a_restored_state():
    generator = keras.random.SeedGenerator(1)
    layer = DropConnect(0.5, generator)
    branch = np.ones((64, 1, 1, 1), np.float32)
    layer(branch, training=True)
    state = generator.state.numpy()
    first, second = layer(branch, training=True), layer(branch, training=True)
    generator.state.assign(state)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(layer(branch, training=True), first)
    assert [v.path for v in layer.variables] == [generator.state.path]
    assert not layer.weights
