"""Normalisation and resampling against TensorFlow's own kernels, recomputation against none, dropping by its law."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.model.layers import (
    BatchNorm,
    DropConnect,
    Resample,
    Style,
    activation_function,
    batch_norm,
    build_chain,
    conv3x3,
    recomputed,
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def filled_norm(channels: int) -> BatchNorm:
    """With scale, offset and statistics that are nobody's default."""
    norm = batch_norm("bn")
    norm.build((None, None, None, channels))
    for i, variable in enumerate(norm.weights):
        variable.assign(1 + 0.3 * np.abs(noise(channels, seed=10 + i)))
    return norm


@pytest.mark.parametrize("shape", [(4, 5, 3, 6), (1, 1, 1, 6), (2, 1, 1, 6)])
@pytest.mark.parametrize("mean", [0.0, 100.0])
def test_a_training_step_of_batch_norm_is_tensorflows_fused_kernel(shape: tuple[int, ...], mean: float):
    """Outputs, gradients and both statistics, the variance being the unbiased one; also far from zero."""
    norm = filled_norm(6)
    inputs, weights = tf.constant(noise(*shape) + np.float32(mean)), tf.constant(noise(*shape, seed=1))
    scale, offset = tf.constant(norm.gamma.numpy()), tf.constant(norm.beta.numpy())
    statistics = {"mean": tf.constant(norm.moving_mean.numpy()), "variance": tf.constant(norm.moving_variance.numpy())}
    with tf.GradientTape() as tape:
        tape.watch([inputs, scale, offset])
        expected, moved_mean, moved_variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, offset, **statistics, epsilon=1e-3, is_training=True, exponential_avg_factor=0.01
        )
        loss = tf.reduce_sum(expected * weights)
    expected_gradients = tape.gradient(loss, [inputs, scale, offset])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = norm(inputs, training=True)
        loss = tf.reduce_sum(outputs * weights)
    gradients = tape.gradient(loss, [inputs, norm.gamma.value, norm.beta.value])
    rounding = 1e-5 + 5e-6 * mean
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=rounding)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=rounding)
    np.testing.assert_allclose(norm.moving_mean, moved_mean, rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, moved_variance, rtol=1e-5)


def test_batch_norm_out_of_training_is_keras_own():
    norm = filled_norm(6)
    keras_norm = keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3)
    keras_norm.build((None, None, None, 6))
    for variable, other in zip(keras_norm.weights, norm.weights, strict=True):
        variable.assign(other)
    before = [v.numpy() for v in norm.weights]
    for training in (False, None):
        np.testing.assert_array_equal(norm(noise(2, 3, 3, 6), training=training), keras_norm(noise(2, 3, 3, 6)))
    norm.trainable = False
    np.testing.assert_array_equal(norm(noise(2, 3, 3, 6), training=True), keras_norm(noise(2, 3, 3, 6)))
    for variable, value in zip(norm.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_batch_norm_has_the_reference_constants():
    layer = batch_norm("bn")
    assert (layer.momentum, layer.epsilon) == (0.99, 1e-3)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_recomputed_layers_learn_as_if_their_activations_were_kept(wrap: Callable[..., Any]):
    features = tf.constant(noise(4, 6, 6, 8))
    conv = conv3x3(8, Style(), "conv")
    conv.build((None, 6, 6, 8))
    norms = [filled_norm(8), filled_norm(8)]
    variables = [v.value for layer in (conv, *norms) for v in layer.trainable_weights]
    statistics = [v for norm in norms for v in norm.non_trainable_weights]
    before = [v.numpy() for v in statistics]

    def function(x: tf.Tensor) -> tf.Tensor:
        return norms[1](keras.ops.silu(norms[0](conv(x), training=True)), training=True)

    def step(keep: bool) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(features)
            run = function if keep else recomputed(function, norms)
            loss = tf.reduce_sum(tf.square(run(features)) * noise(4, 6, 6, 8, seed=1))
        return loss, tape.gradient(loss, [features, *variables])

    results = []
    for keep in (True, False):
        for variable, value in zip(statistics, before, strict=True):
            variable.assign(value)
        loss, gradients = wrap(partial(step, keep))()
        results.append([loss, *gradients, *(v.numpy() for v in statistics)])
    for kept, again in zip(*results, strict=True):
        np.testing.assert_allclose(again, kept, rtol=1e-5, atol=1e-5)
    assert not np.allclose(results[1][-1], before[-1], rtol=1e-4)
    assert [norm.momentum for norm in norms] == [0.99, 0.99]


def test_recomputed_layers_keep_nothing_for_the_backward_pass():
    """The convolution stands twice in the graph of a step: forward, and again before its gradient."""
    conv = conv3x3(8, Style(separable_conv=False), "conv")
    conv.build((None, 6, 6, 8))

    def step(keep: bool, x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            run = conv if keep else recomputed(conv, [])
            loss = tf.reduce_sum(run(x))
        return tape.gradient(loss, conv.kernel.value)

    for keep, passes in ((True, 1), (False, 2)):
        graph = tf.function(partial(step, keep)).get_concrete_function(tf.TensorSpec((1, 6, 6, 8))).graph
        functions = [definition.node_def for definition in graph.as_graph_def().library.function]
        kinds = [node.op for nodes in (graph.as_graph_def().node, *functions) for node in nodes]
        assert kinds.count("Conv2D") == passes


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("swish", "swish"),
        ("swish", "silu"),
        ("swish", "swish_native"),
        ("hswish", "hswish"),
        ("relu", "relu"),
        ("relu6", "relu6"),
        ("mish", "mish"),
    ],
)
def test_activations_equal_the_reference(golden: Any, close: Any, name: str, reference: str):
    arrays = golden.arrays("activations")
    close(activation_function(name)(arrays["x"]), arrays[reference], name, 1e-6)


@pytest.mark.parametrize(
    ("separable", "shapes"),
    [(True, [(3, 3, 4, 1), (1, 1, 4, 6), (6,)]), (False, [(3, 3, 4, 6), (6,)])],
)
def test_convolutions_may_be_plain(separable: bool, shapes: list[tuple[int, ...]]):
    conv = conv3x3(6, Style(separable_conv=separable), "conv", bias=-2.0)
    assert build_chain([conv], (None, 5, 5, 4)) == (None, 5, 5, 6)
    assert [tuple(v.shape) for v in conv.weights] == shapes
    np.testing.assert_array_equal(conv(np.zeros((1, 5, 5, 4), np.float32)), np.full((1, 5, 5, 6), -2.0, np.float32))
    assert not any("bias" in v.path for v in _built(conv3x3(6, Style(), "conv", use_bias=False)).weights)


def _built(layer: keras.layers.Layer) -> keras.layers.Layer:
    layer.build((None, 5, 5, 4))
    return layer


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(0, 90), st.integers(0, 90)))
def test_going_up_is_nearest_neighbour_without_half_pixels(before: tuple[int, int], more: tuple[int, int]):
    """Between any two sizes. google/automl's op is resize_nearest_neighbor of TensorFlow 1."""
    size = (before[0] + more[0], before[1] + more[1])
    check_enlarged(noise(1, *before, 2), size)


def check_enlarged(features: np.ndarray, size: tuple[int, int]) -> None:
    expected = tf.compat.v1.image.resize_nearest_neighbor(features, size)
    for training in (False, True):
        np.testing.assert_array_equal(Resample(size, 2)(features, training=training), expected)


@pytest.mark.parametrize(("before", "after"), [(2, 82), (3, 123), (16, 122)])
def test_going_up_rounds_as_the_kernel_does(before: int, after: int):
    """Sizes at which i * before / after in float32 falls below the whole number that it is."""
    check_enlarged(noise(1, before, before, 2), (after, after))


@pytest.mark.parametrize(("before", "after"), [((2, 3), (4, 6)), ((3, 4), (5, 7)), ((1, 1), (2, 1)), ((3, 4), (7, 17))])
def test_the_gradient_of_going_up_is_the_sum_over_copies(before: tuple[int, int], after: tuple[int, int]):
    """By a compiled step too: XLA has no gradient for the resizing that inference does."""
    features, weights = tf.constant(noise(2, *before, 3)), tf.constant(noise(2, *after, 3, seed=1))
    layer = Resample(after, 3)

    def gradient(enlarge: Callable[..., Any]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = tf.reduce_sum(enlarge(features) * weights)
        return tape.gradient(loss, features)

    expected = gradient(lambda x: tf.compat.v1.image.resize_nearest_neighbor(x, after))
    for wrap in (lambda f: f, partial(tf.function, jit_compile=True)):
        found = wrap(lambda: gradient(partial(layer, training=True)))()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40))
def test_neighbouring_levels_need_no_gathering(height: int, width: int):
    """Their sizes come from halving; TFLite and accelerators have a kernel for repeating cells."""
    layer = Resample((height, width), 2)
    features = tf.TensorSpec((1, (height + 1) // 2, (width + 1) // 2, 2))
    graph = tf.function(lambda x: layer(x)).get_concrete_function(features).graph
    assert not {op.type for op in graph.get_operations()} & {"GatherV2", "GatherNd"}


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


@pytest.mark.parametrize("resample_bn", [True, False])
@pytest.mark.parametrize("pool_first", [True, False])
@pytest.mark.parametrize("size", [(3, 4), (6, 8), (12, 15)])
def test_channels_change_before_or_after_pooling_as_the_style_says(
    resample_bn: bool, pool_first: bool, size: tuple[int, int]
):
    features = noise(2, 6, 8, 3)
    layer = Resample(size, 5, Style(resample_bn=resample_bn, conv_after_downsample=pool_first))
    layer.build(features.shape)
    for i, variable in enumerate(layer.weights):
        variable.assign(np.abs(noise(*variable.shape, seed=i)) - (variable.path.endswith("kernel")))
    names = ["conv2d/kernel", "conv2d/bias", "bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance"]
    assert [v.path.split("/", 1)[1] for v in layer.weights] == names[: 6 if resample_bn else 2]

    def convert(x: tf.Tensor) -> tf.Tensor:
        kernel, bias, *norm = [v.value for v in layer.weights]
        x = tf.nn.conv2d(x, kernel, 1, "SAME") + bias
        return tf.nn.batch_normalization(x, norm[2], norm[3], norm[1], norm[0], 1e-3) if norm else x

    if size == (3, 4):
        pool = partial(tf.nn.max_pool2d, ksize=3, strides=2, padding="SAME")
        expected = convert(pool(features)) if pool_first else pool(convert(features))
    else:
        expected = tf.compat.v1.image.resize_nearest_neighbor(convert(features), size)
    assert layer.compute_output_shape(features.shape) == expected.shape
    np.testing.assert_allclose(layer(features), expected, rtol=1e-5, atol=1e-5)


def test_channels_are_converted_only_where_they_differ():
    same = Resample((4, 4), 8)
    same.build((None, 4, 4, 8))
    assert not same.weights


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
