"""What the heads share between levels, what they do not, where they start, and how pixels get their classes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from efficientdet.model.heads import PRIOR, Head, SegmentationHead
from efficientdet.model.layers import DropConnect, Style

SIZES = [(4, 4), (2, 2), (1, 1)]


def head(**changes: object) -> Head:
    settings = {"levels": range(3, 6), "filters": 8, "repeats": 2, "channels": 6, "style": Style("relu6")}
    return Head("class", **(settings | changes))


def pyramid(batch: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((batch, *size, 8)).astype(np.float32) for size in SIZES]


def test_convolutions_are_shared_and_normalisation_is_not():
    net = head()
    outputs = net(pyramid())
    assert [tuple(level.shape) for level in outputs] == [(1, *size, 6) for size in SIZES]
    assert net.compute_output_shape([(1, *size, 8) for size in SIZES]) == [(1, *size, 6) for size in SIZES]
    paths = [v.path for v in net.weights]
    assert sum(path.endswith("pointwise_kernel") for path in paths) == 2 + 1
    assert [path for path in paths if path.endswith("gamma")] == [
        f"class_net/class-{i}-bn-{level}/gamma" for i in range(2) for level in (3, 4, 5)
    ]


def test_plain_convolutions():
    net = head(style=Style(separable_conv=False))
    net(pyramid())
    kernels = {v.path: tuple(v.shape) for v in net.weights if v.path.endswith("kernel")}
    assert kernels == {
        "class_net/class-0/kernel": (3, 3, 8, 8),
        "class_net/class-1/kernel": (3, 3, 8, 8),
        "class_net/class-predict/kernel": (3, 3, 8, 6),
    }


def test_every_class_starts_at_the_prior():
    net = head(prior=PRIOR)
    for logits in net([np.zeros((1, *size, 8), np.float32) for size in SIZES]):
        np.testing.assert_allclose(logits, -4.59512, rtol=1e-5)  # -log(99), as in google/automl


def test_boxes_start_at_their_anchors():
    for deltas in head()([np.zeros((1, *size, 8), np.float32) for size in SIZES]):
        assert not np.any(deltas)


def test_a_head_without_hidden_layers_only_predicts():
    net = head(repeats=0)
    for features, kept in zip(pyramid(), net.hidden(pyramid()), strict=True):
        np.testing.assert_array_equal(kept, features)


@pytest.mark.parametrize("training", [True, False])
def test_statistics_move_in_training_only(training: bool):
    net = head()
    net(pyramid(batch=2), training=training)
    moved = [bool(np.any(v.numpy())) for v in net.non_trainable_weights if v.path.endswith("moving_mean")]
    assert moved == [training] * 6


@pytest.mark.parametrize("residual", [True, False])
def test_hidden_layers_after_the_first_are_residual_with_stochastic_depth(residual: bool):
    drop = DropConnect(0.8, keras.random.SeedGenerator(0)) if residual else None
    net = head(repeats=3, drop_connect=drop)
    net.build([(None, *size, 8) for size in SIZES])
    for level, (features, kept) in enumerate(zip(pyramid(), net.hidden(pyramid()), strict=True)):
        for i, (conv, norms) in enumerate(zip(net.convs, net.norms, strict=True)):
            branch = keras.ops.relu6(norms[level](conv(features)))
            features = features + branch if residual and i > 0 else branch
        np.testing.assert_allclose(kept, features, rtol=1e-5, atol=1e-6)


def test_training_drops_the_branches_of_whole_images():
    """With next to no survivors, what is left is the first layer."""
    net = head(repeats=3, drop_connect=DropConnect(1e-9, keras.random.SeedGenerator(0)))
    net.build([(None, *size, 8) for size in SIZES])
    first = head(repeats=1)
    first.build([(None, *size, 8) for size in SIZES])
    first.convs[0].set_weights(net.convs[0].get_weights())
    kept, expected = net.hidden(pyramid(3), training=True), first.hidden(pyramid(3), training=True)
    for level, other in zip(kept, expected, strict=True):
        np.testing.assert_allclose(level, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_segmentation_ends_at_twice_the_finest_level(levels: int):
    net = SegmentationHead(levels, filters=8, classes=3, activation="swish")
    sizes = [(2**i, 3 * 2**i) for i in reversed(range(levels))]
    pixels = net([np.ones((2, *size, 8), np.float32) for size in sizes])
    expected = (2, 2 * sizes[0][0], 2 * sizes[0][1], 3)
    assert tuple(pixels.shape) == expected
    assert net.compute_output_shape([(2, *size, 8) for size in sizes]) == expected


def test_segmentation_concatenates_what_it_enlarges_with_each_finer_level():
    """Kernels of a transposed convolution are (height, width, out, in)."""
    net = SegmentationHead(3, filters=8, classes=4, activation="swish")
    net.build([(None, *size, 5) for size in SIZES])
    assert {v.path.removeprefix("segmentation_head/"): tuple(v.shape) for v in net.weights if "bn" not in v.path} == {
        "conv2d_transpose/kernel": (3, 3, 8, 5),
        "conv2d_transpose_1/kernel": (3, 3, 8, 8 + 5),
        "conv2d_transpose_2/kernel": (3, 3, 4, 8 + 5),
        "conv2d_transpose_2/bias": (4,),
    }
    assert [v.path for v in net.trainable_weights if "gamma" in v.path] == [
        f"segmentation_head/bn_{i}/gamma" for i in range(2)
    ]


def test_segmentation_normalises_by_the_batch_in_training():
    net = SegmentationHead(3, filters=8, classes=4, activation="swish")
    rng = np.random.default_rng(0)
    features = [rng.standard_normal((2, *size, 8)).astype(np.float32) for size in SIZES]
    net(features, training=False)
    assert not any(np.any(v.numpy()) for v in net.non_trainable_weights if v.path.endswith("moving_mean"))
    net(features, training=True)
    assert all(np.any(v.numpy()) for v in net.non_trainable_weights if v.path.endswith("moving_mean"))
