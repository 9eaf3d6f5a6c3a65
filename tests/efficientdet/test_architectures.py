"""The table of architectures against google/automl's, and its order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.architectures import ARCHITECTURES, COSTS, feature_sizes

LADDERS = [
    [f"efficientdet-{size}" for size in ("d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d7x")],
    [f"efficientdet-{size}" for size in ("lite0", "lite1", "lite2", "lite3", "lite3x", "lite4")],
]
FIXED_640 = [name for name in ARCHITECTURES if name.endswith("(640)")]


def test_every_name_is_its_key_and_has_a_cost():
    assert [architecture.name for architecture in ARCHITECTURES.values()] == list(ARCHITECTURES) == list(COSTS)
    assert len(ARCHITECTURES) == 20


def test_constants_equal_the_reference(golden: Any):
    assert set(golden.models) == set(ARCHITECTURES) - set(FIXED_640)
    for name, theirs in golden.models.items():
        ours = ARCHITECTURES[name]
        assert list(ours.image_size) == theirs["image_size"]
        assert (ours.backbone, ours.fpn_filters) == (theirs["backbone"], theirs["fpn_num_filters"])
        assert (ours.fpn_repeats, ours.head_repeats) == (theirs["fpn_cell_repeats"], theirs["box_class_repeats"])
        assert (ours.min_level, ours.max_level) == (theirs["min_level"], theirs["max_level"])
        assert (ours.anchor_scale, ours.activation) == (theirs["anchor_scale"], theirs["act_type"])
        assert ours.fusion == (theirs["fpn_weight_method"] or "fastattn")
        for mine, other in ((ours.mean, theirs["mean_rgb"]), (ours.stddev, theirs["stddev_rgb"])):
            assert mine == pytest.approx(other if isinstance(other, list) else [other] * 3, rel=1e-12)
        assert len(ours.levels) == len(theirs["class_output_shapes"])
        assert COSTS[name].parameters == theirs["params_total"]
        assert COSTS[name].flops == pytest.approx(theirs["float_ops"] / 2, rel=1e-3)


@pytest.mark.parametrize("ladder", LADDERS, ids=["d", "lite"])
def test_costs_rise_with_the_size(ladder: list[str]):
    costs = [COSTS[name] for name in ladder]
    assert all(a.parameters <= b.parameters and a.flops < b.flops for a, b in pairwise(costs))


def test_costs_of_the_paper():
    """Table 2 of arXiv 1911.09070 (v7): parameters in millions, FLOPs in billions, rounded."""
    published = {
        "d0": (3.9, 2.5),
        "d1": (6.6, 6.1),
        "d2": (8.1, 11),
        "d3": (12, 25),
        "d4": (21, 55),
        "d5": (34, 135),
        "d6": (52, 226),
        "d7": (52, 325),
        "d7x": (77, 410),
    }
    for size, (millions, billions) in published.items():
        cost = COSTS[f"efficientdet-{size}"]
        assert cost.parameters / 1e6 == pytest.approx(millions, rel=0.02)
        assert cost.flops / 1e9 == pytest.approx(billions, rel=0.02)


@pytest.mark.parametrize("name", FIXED_640)
def test_fixed_resolutions_are_the_same_network_for_less(name: str):
    parent = name.removesuffix("(640)")
    assert [f"efficientdet-d{i}(640)" for i in range(2, 7)] == FIXED_640
    assert ARCHITECTURES[name].image_size == (640, 640)
    assert COSTS[name].parameters == COSTS[parent].parameters
    pixels = 640**2 / ARCHITECTURES[parent].image_size[0] ** 2
    assert COSTS[name].flops == pytest.approx(COSTS[parent].flops * pixels, rel=1e-3)


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_feature_sizes_halve_and_round_up(height: int, width: int):
    sizes = feature_sizes((height, width), 1, 8)
    for (h, w), (next_h, next_w) in zip([(height, width), *sizes], sizes, strict=False):
        assert (next_h, next_w) == ((h + 1) // 2, (w + 1) // 2)
