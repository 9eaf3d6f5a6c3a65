"""The wiring of pyramid cells, and every fusion worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from efficientdet.architectures import Node
from efficientdet.model.bifpn import FUSION_EPSILON, AfterFusion, BiFPN, FusionNode, bifpn_nodes, qufpn_nodes
from efficientdet.model.layers import Style

SIZES = [(10, 13), (5, 7), (3, 4), (2, 2), (1, 1)]
WEIGHTS = np.array([[3.0, -1.0, 0.5], [1.0, 2.0, -4.0], [0.25, 0.0, -0.5]], np.float32)  # [inputs, filters]


@pytest.mark.parametrize("name", ["bifpn_3_7", "bifpn_3_8", "bifpn_2_7", "qufpn_3_7"])
def test_wiring_equals_the_reference(golden: Any, name: str):
    wiring, low, high = name.split("_")
    nodes = golden.manifest["fpn_configs"][name]["nodes"]
    assert {"bifpn_3_7", "bifpn_3_8", "bifpn_2_7", "qufpn_3_7"} == set(golden.manifest["fpn_configs"])
    expected = [Node(node["feat_level"] - int(low), tuple(node["inputs_offsets"])) for node in nodes]
    build = {"bifpn": bifpn_nodes, "qufpn": qufpn_nodes}[wiring]
    assert build(int(high) - int(low) + 1) == expected


def test_wiring_of_three_levels():
    """Down over the middle to the finest, then up; the middle sees its input again, the coarsest twice only."""
    assert bifpn_nodes(3) == [Node(1, (1, 2)), Node(0, (0, 3)), Node(1, (1, 3, 4)), Node(2, (2, 5))]


@pytest.mark.parametrize("wiring", [bifpn_nodes, qufpn_nodes])
@pytest.mark.parametrize("levels", range(2, 9))
def test_every_level_is_fused_from_what_is_known(wiring: Callable[[int], list[Node]], levels: int):
    nodes = wiring(levels)
    assert {node.level for node in nodes} == set(range(levels))
    assert all(i < levels + n for n, node in enumerate(nodes) for i in node.inputs)
    used = {i for node in nodes for i in node.inputs}
    last = {node.level: levels + n for n, node in enumerate(nodes)}
    assert used | set(last.values()) == set(range(levels + len(nodes)))


def fused_by_hand(fusion: str, maps: np.ndarray) -> np.ndarray:
    """`maps` [inputs, filters] to [filters]."""
    weights = WEIGHTS[: len(maps)] if fusion.startswith("channel") else WEIGHTS[: len(maps), :1]
    if fusion == "sum":
        return maps.sum(0)
    if fusion.endswith("fastattn"):
        positive = np.maximum(weights, 0)
        return (maps * positive / (positive.sum(0) + FUSION_EPSILON)).sum(0)
    powers = np.exp(weights)
    return (maps * powers / powers.sum(0)).sum(0)


@pytest.mark.parametrize("fusion", ["sum", "fastattn", "attn", "channel_fastattn", "channel_attn"])
@pytest.mark.parametrize("inputs", [2, 3])
def test_fusions(fusion: str, inputs: int):
    node = FusionNode(Node(0, tuple(range(inputs))), 3, (2, 2), 3, fusion, Style(), "node")
    node.build([(None, 2, 2, 3)] * inputs)
    assert [v.path for v in node.weights if "WSM" in v.path] == (
        [] if fusion == "sum" else [f"node/{name}" for name in ("WSM", "WSM_1", "WSM_2")[:inputs]]
    )
    for i, weight in enumerate([] if fusion == "sum" else node.fusion_weights):
        np.testing.assert_array_equal(weight, np.ones(weight.shape, np.float32))
        weight.assign(WEIGHTS[i] if fusion.startswith("channel") else WEIGHTS[i, 0])
    node.after = lambda features, training: features
    maps = np.random.default_rng(0).standard_normal((inputs, 3)).astype(np.float32)
    outputs = node([np.broadcast_to(values, (1, 2, 2, 3)) for values in maps])
    np.testing.assert_allclose(outputs, np.broadcast_to(fused_by_hand(fusion, maps), (1, 2, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("fusion", ["fastattn", "channel_fastattn"])
def test_fast_fusion_of_nothing_positive_is_zero(fusion: str):
    node = FusionNode(Node(0, (0, 1)), 2, (2, 2), 3, fusion, Style(), "node")
    node.build([(None, 2, 2, 3)] * 2)
    for weight in node.fusion_weights:
        weight.assign(weight * -1)
    node.after = lambda features, training: features
    np.testing.assert_array_equal(node([np.ones((1, 2, 2, 3), np.float32)] * 2), np.zeros((1, 2, 2, 3)))


@pytest.mark.parametrize("last", [True, False])
def test_activation_is_first_or_last(last: bool):
    """The normalisation of a new layer only divides by sqrt(1 + epsilon); its offset tells the order."""
    layer = AfterFusion(3, Style(activation="relu", conv_bn_act=last, separable_conv=False), "after")
    layer.build((None, 1, 1, 3))
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1] = np.eye(3)
    layer.conv.kernel.assign(kernel)
    layer.bn.beta.assign([-1.0, -1.0, -1.0])
    assert (layer.conv.bias is None) == last
    outputs = layer(np.array([[[[-2.0, 0.5, 3.0]]]], np.float32))[0, 0, 0]
    expected = [0, 0, 2] if last else [-1, -0.5, 2]
    np.testing.assert_allclose(outputs, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("wiring", "fusion", "scalars"),
    [
        (bifpn_nodes, "sum", 0),
        (bifpn_nodes, "fastattn", 4 * 2 + 3 * 3 + 2),
        (qufpn_nodes, "attn", 2 * (4 * 2 + 3 * 3 + 2) + 5 * 2),
    ],
)
def test_levels_keep_their_size(wiring: Callable[[int], list[Node]], fusion: str, scalars: int):
    bifpn = BiFPN(SIZES, wiring(5), filters=8, repeats=2, fusion=fusion, style=Style("relu6"))
    outputs = bifpn([np.ones((2, *size, 6), np.float32) for size in SIZES])
    shapes = [(2, *size, 8) for size in SIZES]
    assert [tuple(level.shape) for level in outputs] == shapes
    assert bifpn.compute_output_shape([(2, *size, 6) for size in SIZES]) == shapes
    assert sum(v.shape == () for v in bifpn.trainable_weights) == 2 * scalars


def test_a_level_without_a_node_passes_through():
    bifpn = BiFPN(SIZES[:2], [Node(1, (0, 1))], filters=8, repeats=1, fusion="sum", style=Style())
    inputs = [np.ones((1, *size, 8), np.float32) for size in SIZES[:2]]
    np.testing.assert_array_equal(bifpn(inputs)[0], inputs[0])


def test_nodes_name_their_sources_and_normalisations():
    node = FusionNode(Node(0, (2, 7)), 9, (4, 4), 8, "sum", Style(), "fnode4")
    node.build([(None, 4, 4, 3), (None, 2, 2, 8)])
    kernels = [v.path for v in node.weights if v.path.endswith("kernel")]
    after = "fnode4/op_after_combine9/conv"
    assert kernels == [
        "fnode4/resample_0_2_9/conv2d/kernel",
        f"{after}/depthwise_kernel",
        f"{after}/pointwise_kernel",
    ]
    assert node.norms == [node.resamples[0].bn, node.after.bn]
