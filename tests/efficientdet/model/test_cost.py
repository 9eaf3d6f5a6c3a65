"""Costs by hand on a tiny network, and those of the table counted again."""

from __future__ import annotations

import keras
import pytest

from efficientdet.architectures import ARCHITECTURES, COSTS
from efficientdet.config import Config
from efficientdet.model.cost import Convolution, convolutions, multiply_adds
from efficientdet.model.detector import build_detector
from efficientdet.model.layers import batch_norm


@pytest.fixture(scope="module")
def tiny() -> keras.Model:
    """9x8 pixels through a strided, a depthwise and a 1x1 convolution, each normalised."""
    images = x = keras.Input((9, 8, 3))
    x = batch_norm("bn_0")(keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x))
    x = batch_norm("bn_1")(keras.layers.DepthwiseConv2D(5, depth_multiplier=2, padding="same", use_bias=False)(x))
    x = batch_norm("bn_2")(keras.layers.Conv2D(6, 1, use_bias=False)(x))
    return keras.Model(images, x)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_convolutions_by_hand(tiny: keras.Model, batch_size: int):
    b = batch_size
    found = convolutions(tiny, batch_size)
    assert found == [
        Convolution("Conv2D", (b, 9, 8, 3), (3, 3, 3, 4), (b, 5, 4, 4), (2, 2)),
        Convolution("DepthwiseConv2dNative", (b, 5, 4, 4), (5, 5, 4, 2), (b, 5, 4, 8), (1, 1)),
        Convolution("Conv2D", (b, 5, 4, 8), (1, 1, 8, 6), (b, 5, 4, 6), (1, 1)),
    ]
    cells = b * 5 * 4
    assert [convolution.macs for convolution in found] == [cells * 4 * 27, cells * 8 * 25, cells * 6 * 8]


def test_convolutions_are_all_that_a_normalised_network_costs(tiny: keras.Model):
    assert multiply_adds(tiny) == sum(convolution.macs for convolution in convolutions(tiny)) == 20 * (108 + 200 + 48)


def test_a_bias_is_half_a_multiply_add_per_output():
    images = keras.Input((4, 4, 3))
    model = keras.Model(images, keras.layers.Conv2D(2, 1)(images))
    assert multiply_adds(model) == 16 * 2 * 3 + 16 * 2 // 2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_table_is_what_the_networks_cost(name: str):
    model = build_detector(Config.parse({"model": {"name": name}}), 90)
    assert (model.count_params(), multiply_adds(model)) == COSTS[name]


def test_nearly_all_of_a_detector_is_convolution():
    model = build_detector(Config.parse({"model": {"name": "efficientdet-lite0", "image_size": 64}}), 90)
    found = convolutions(model)
    assert sum(convolution.macs for convolution in found) == pytest.approx(multiply_adds(model), rel=0.02)
    separable = 3 * 8 + 2 * 5 * 4  # nodes of the cells; layers of both heads on every level
    resampling = 1 + 5  # p6 from p5; in the first cell p3 once, p4 and p5 twice
    assert sum(c.kind == "DepthwiseConv2dNative" for c in found) == 16 + separable
    assert len(found) == 1 + (2 + 15 * 3) + resampling + 2 * separable
