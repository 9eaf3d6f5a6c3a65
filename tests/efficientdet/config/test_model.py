"""Sizes, levels, anchors and wiring of the network, alone and against each other."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from efficientdet.architectures import ARCHITECTURES, Node
from efficientdet.config import Config, ModelConfig
from efficientdet.errors import ConfigError

NODES = [{"level": 4, "inputs": [1, 2]}, {"level": 3, "inputs": [0, 3]}, {"level": 5, "inputs": [2, 4]}]


@pytest.mark.parametrize(
    ("size", "height_and_width"),
    [
        (512, (512, 512)),
        ("512", (512, 512)),
        ("1920x1280", (1280, 1920)),
        ("64X32", (32, 64)),
        ([136, 200], (136, 200)),
        ((127, 129), (127, 129)),
        ([48], (48, 48)),
    ],
)
def test_sizes_are_width_first_in_strings_and_height_first_in_lists(size: object, height_and_width: tuple):
    assert ModelConfig.parse({"image_size": size}).input_size == height_and_width
    assert Config.parse({"data": {"jitter_size": size}}).data.jitter_size == height_and_width


@pytest.mark.parametrize(
    "size", [31, 8193, "7", "1x2x3", "x", "512x", "-64", "2²", [64, 64, 64], [64.5, 64], 64.0, {"height": 64}, ""]
)
def test_what_is_no_size(size: object):
    with pytest.raises(ConfigError, match=r"image_size=.*: an image size is one number or WIDTHxHEIGHT, each side"):
        ModelConfig.parse({"image_size": size})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_name_alone_is_the_published_network(name: str):
    model = ModelConfig(name=name)
    assert model.architecture == ARCHITECTURES[name]
    assert model.input_size == ARCHITECTURES[name].image_size


def test_every_part_of_an_architecture_can_be_replaced():
    changes = {
        "backbone": "efficientnet-b3",
        "fpn_filters": 32,
        "fpn_repeats": 2,
        "head_repeats": 1,
        "anchor_scale": (1.0, 2.0, 3.0),
        "min_level": 3,
        "max_level": 5,
        "activation": "mish",
        "fusion": "attn",
        "mean": (1.0, 1.0, 1.0),
        "stddev": (2.0, 2.0, 2.0),
        "fpn": "qufpn",
        "separable_conv": False,
        "conv_bn_act": True,
        "resample_bn": False,
        "conv_after_downsample": True,
        "head_survival": 0.8,
    }
    base = ARCHITECTURES["efficientdet-lite0"]
    expected = replace(base, **changes, fpn_nodes=(Node(1, (1, 2)), Node(0, (0, 3)), Node(2, (2, 4))))
    assert ModelConfig.parse({**changes, "mean": 1, "stddev": 2, "fpn_nodes": NODES}).architecture == expected


@pytest.mark.parametrize("name", ["silu", "swish_native", "swish"])
def test_swish_has_several_names(name: str):
    assert ModelConfig.parse({"activation": name}).architecture.activation == "swish"


def test_aspect_ratios_may_be_pairs():
    ratios = [1, 0.5, [1.4, 0.7]]
    assert ModelConfig.parse({"aspect_ratios": ratios}).aspect_ratios == (1.0, 0.5, (1.4, 0.7))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"name": "efficientdet-d9"}, "no such architecture; the known ones are efficientdet-d0, "),
        ({"backbone": "resnet50"}, "no such backbone; the known ones are efficientnet-b0, "),
        ({"activation": "srelu"}, "activation='srelu': Input should be 'swish'"),
        ({"min_level": 0}, "min_level=0: Input should be greater than or equal to 1"),
        ({"min_level": 5, "max_level": 5}, "model.max_level=5 must be above model.min_level=5"),
        ({"max_level": 2}, "model.max_level=2 must be above model.min_level=3"),
        ({"name": "efficientdet-d7x", "anchor_scale": [1, 1, 1, 1, 1]}, "has 5 numbers for 6 levels; give one or 6"),
        ({"anchor_scale": 33}, "anchor_scale=33: Input should be less than or equal to 32"),
        ({"aspect_ratios": []}, "aspect_ratios=[]: Tuple should have at least 1 item"),
        ({"aspect_ratios": [0]}, "aspect_ratios.0=0: Input should be greater than 0"),
        ({"stddev": 0}, "stddev.0=0: Input should be greater than 0"),
        ({"mean": [1, 2]}, "mean.2: is missing"),
        ({"heads": ["segmentation"]}, "a detector needs the object_detection head"),
        ({"heads": ["object_detection", "masks"]}, "heads.1='masks'"),
        ({"head_survival": 0}, "head_survival=0: Input should be greater than 0"),
        ({"fpn_nodes": NODES}, "no node for level 6, 7"),
        ({"fpn_nodes": NODES[:2], "max_level": 5}, "no node for level 5; add one"),
        ({"fpn_nodes": [{"level": 6, "inputs": [0]}], "max_level": 5}, "level 6 of [3, 4, 5] cannot fuse [0]"),
        ({"fpn_nodes": [NODES[0], {"level": 3, "inputs": [4]}], "max_level": 5}, "model.fpn_nodes[1]: level 3"),
        ({"fpn_nodes": [{"level": 3, "inputs": [-1]}]}, "before it, 0 to 4"),
        ({"fpn_nodes": [{"level": 3, "inputs": []}]}, "fpn_nodes.0.inputs=[]"),
    ],
)
def test_values_that_fit_no_network(values: dict, says: str):
    with pytest.raises(ConfigError, match=re.escape(says)):
        ModelConfig.parse(values)


@pytest.mark.parametrize(("size", "fits"), [(128, True), ("384x256", True), (127, True), (64, False), (320, False)])
def test_segmentation_needs_levels_that_double(size: object, fits: bool):
    """Its maps are concatenated with the pyramid's after each doubling."""
    values = {"image_size": size, "heads": ["object_detection", "segmentation"]}
    if fits:
        assert ModelConfig.parse(values).heads == ("object_detection", "segmentation")
    else:
        with pytest.raises(ConfigError, match=f"model.image_size={size}x{size}: .* multiples of 128 pixels"):
            ModelConfig.parse(values)
