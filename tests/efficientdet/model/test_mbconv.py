"""The blocks of the backbones one by one; their numbers are in test_detector.py."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from efficientdet.model.layers import DropConnect
from efficientdet.model.mbconv import MBConvBlock, SqueezeExcite, Stage, Stem


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def block(
    stride: int = 1, expand_ratio: int = 6, survival: float | None = None, recompute: bool = False
) -> MBConvBlock:
    """From 8 channels to 8."""
    drop_connect = None if survival is None else DropConnect(survival, keras.random.SeedGenerator(1))
    stage = Stage(repeats=1, kernel_size=3, stride=stride, expand_ratio=expand_ratio, filters=8)
    built = MBConvBlock(
        stage,
        input_filters=8,
        stride=stride,
        squeeze_ratio=0.25,
        activation="swish",
        drop_connect=drop_connect,
        recompute=recompute,
        name="blocks_1",
    )
    built.build((None, 6, 6, 8))
    return built


def test_the_stem_halves_and_rounds_up():
    assert Stem(16, "swish", "stem")(noise(2, 7, 6, 3)).shape == (2, 4, 3, 16)


@pytest.mark.parametrize(("stride", "residual"), [(1, True), (2, False)])
def test_the_input_is_added_where_shapes_agree(stride: int, residual: bool):
    """With the last scale at zero the branch is zero, and what is left is the input or nothing."""
    layer, features = block(stride), noise(2, 6, 6, 8)
    layer.body[-1].gamma.assign(np.zeros(8))
    outputs = layer(features)
    assert outputs.shape == (2, 6 // stride, 6 // stride, 8)
    np.testing.assert_array_equal(outputs, features if residual else np.zeros_like(outputs))


@pytest.mark.parametrize(("expand_ratio", "kernels"), [(1, ["conv2d"]), (6, ["conv2d", "conv2d_1"])])
def test_convolutions_are_named_by_use(expand_ratio: int, kernels: list[str]):
    """As in google/automl's checkpoints, where a block that does not expand projects with its first."""
    paths = [v.path.split("/") for v in block(expand_ratio=expand_ratio).weights]
    assert [path[1] for path in paths if len(path) == 3 and path[1] in ("conv2d", "conv2d_1")] == kernels


@pytest.mark.parametrize("recompute", [False, True])
def test_whole_images_are_dropped_in_training(recompute: bool):
    layer, features = block(survival=0.5, recompute=recompute), noise(64, 6, 6, 8)
    np.testing.assert_array_equal(layer(features, training=False), layer(features, training=False))
    kept = np.any(np.asarray(layer(features, training=True)) != features, axis=(1, 2, 3))
    assert 16 < kept.sum() < 48  # 4 standard deviations


def test_squeezing_scales_channels_by_what_their_means_say():
    layer, features = SqueezeExcite(2, 8, "swish", "se"), noise(1, 4, 4, 8)
    layer.build(features.shape)
    for convolution in (layer.reduce, layer.expand):
        convolution.kernel.assign(convolution.kernel * 0)
    bias = np.linspace(-3, 3, 8, dtype=np.float32)
    layer.expand.bias.assign(bias)
    np.testing.assert_allclose(layer(features), features / (1 + np.exp(-bias)), rtol=1e-5)
