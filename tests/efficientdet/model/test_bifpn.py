"""The wiring of BiFPN, and its fusion worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efficientdet.model.bifpn import FUSION_EPSILON, BiFPN, FusionNode, Node, bifpn_nodes


@pytest.mark.parametrize(("name", "min_level", "max_level"), [("bifpn_3_7", 3, 7), ("bifpn_3_8", 3, 8)])
def test_wiring_equals_the_reference(shared: Path, name: str, min_level: int, max_level: int):
    nodes = json.loads((shared / "golden/manifest.json").read_text())["fpn_configs"][name]["nodes"]
    expected = [Node(node["feat_level"] - min_level, tuple(node["inputs_offsets"])) for node in nodes]
    assert bifpn_nodes(max_level - min_level + 1) == expected


def test_wiring_of_three_levels():
    """Down over the middle to the finest, then up; the middle sees its input again, the coarsest twice only."""
    assert bifpn_nodes(3) == [Node(1, (1, 2)), Node(0, (0, 3)), Node(1, (1, 3, 4)), Node(2, (2, 5))]


def test_fast_fusion_weighs_what_is_not_negative():
    fused = []
    node = FusionNode(Node(0, (0, 1)), 2, (2, 2), 3, "fastattn", "linear", "node")
    node.build([(None, 2, 2, 3)] * 2)
    node.after = fused.append
    for weight, value in zip(node.fusion_weights, (3.0, -1.0), strict=True):
        assert weight.numpy() == 1.0
        weight.assign(value)
    node([np.full((1, 2, 2, 3), 5.0, np.float32), np.full((1, 2, 2, 3), 7.0, np.float32)])
    np.testing.assert_allclose(fused[0], 5.0 * 3 / (3 + FUSION_EPSILON), rtol=1e-6)


@pytest.mark.parametrize(("fusion", "scalars"), [("sum", 0), ("fastattn", 4 * 2 + 3 * 3 + 2)])
def test_levels_keep_their_size(fusion: str, scalars: int):
    sizes = [(10, 13), (5, 7), (3, 4), (2, 2), (1, 1)]
    bifpn = BiFPN(sizes, filters=8, repeats=1, fusion=fusion, activation="relu6", name="fpn_cells")
    outputs = bifpn([np.ones((2, *size, 6), np.float32) for size in sizes])
    assert [tuple(level.shape) for level in outputs] == [(2, *size, 8) for size in sizes]
    assert sum(v.shape == () for v in bifpn.trainable_weights) == scalars
