"""Scaling rules, stochastic depth and names of the backbones; their numbers are in test_detector.py."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.model.backbone import SCALES, Backbone, round_filters, scaled_stages


@given(st.integers(8, 400), st.floats(1.0, 2.0))
def test_filters_are_multiples_of_8_and_not_much_below(filters: int, width: float):
    rounded = round_filters(filters, width)
    assert rounded % 8 == 0
    assert 0.9 * filters * width <= rounded <= filters * width + 8


@pytest.mark.parametrize(
    ("scale", "lite", "blocks"),
    [("0", False, 16), ("1", False, 23), ("4", False, 32), ("7", False, 55), ("0", True, 16), ("1", True, 21)],
)
def test_number_of_blocks(scale: str, lite: bool, blocks: int):
    """Blocks in golden/models.json; lite1 and b1 differ by their unscaled first and last stage."""
    assert sum(stage.repeats for stage in scaled_stages(*SCALES[scale], lite)) == blocks


def test_survival_falls_linearly_to_080_where_there_is_a_residual():
    blocks = Backbone("efficientnet-lite0").blocks
    survivals = {i: b.drop_connect.survival for i, b in enumerate(blocks) if b.drop_connect}
    assert list(survivals) == [2, 4, 6, 7, 9, 10, 12, 13, 14]
    for index, survival in survivals.items():
        assert survival == pytest.approx(1 - 0.2 * index / 16)


def test_b0_trains_without_stochastic_depth():
    """google/automl gives survival 0 to backbones with b0 in their name."""
    assert not any(block.drop_connect for block in Backbone("efficientnet-b0").blocks)


def test_five_levels_of_halved_size():
    backbone = Backbone("efficientnet-lite0")
    levels = backbone(np.zeros((2, 65, 40, 3), np.float32))
    shapes = [(2, 33, 20, 16), (2, 17, 10, 24), (2, 9, 5, 40), (2, 5, 3, 112), (2, 3, 2, 320)]
    assert [tuple(level.shape) for level in levels] == shapes
    assert backbone.compute_output_shape((2, 65, 40, 3)) == shapes


@pytest.mark.parametrize(
    ("name", "activation", "expected"),
    [("efficientnet-b0", None, "silu"), ("efficientnet-lite0", None, "relu6"), ("efficientnet-b0", "mish", "mish")],
)
def test_activation_is_by_kind_unless_given(name: str, activation: str | None, expected: str):
    backbone = Backbone(name, activation)
    found = {
        layer.activation.__name__
        for part in (backbone.stem, *backbone.blocks)
        for layer in part.body
        if isinstance(layer, keras.layers.Activation)
    }
    assert found == {expected}


def test_lite_networks_neither_squeeze_nor_scale_their_stem():
    lite, full = Backbone("efficientnet-lite4"), Backbone("efficientnet-b4")
    for backbone in (lite, full):
        backbone.build((None, 64, 64, 3))
    assert lite.stem.body[0].filters == 32
    assert full.stem.body[0].filters == 48
    assert not [v.path for v in lite.weights if "/se/" in v.path]
    assert len([v for v in full.weights if "/se/" in v.path]) == 4 * len(full.blocks)


def test_one_seed_draws_one_sequence():
    images = np.random.default_rng(0).standard_normal((8, 32, 32, 3)).astype(np.float32)
    kernels = None
    drawn = []
    for seed in (3, 3, 4):
        backbone = Backbone("efficientnet-lite0", seed=seed)
        backbone.build((None, 32, 32, 3))
        kernels = kernels or backbone.get_weights()
        backbone.set_weights(kernels)
        drawn.append(np.asarray(backbone(images, training=True)[-1]))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
