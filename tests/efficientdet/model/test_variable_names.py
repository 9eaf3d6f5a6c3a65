"""Names with and without their surroundings, and the attribute path of every variable of every model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from efficientdet.model.variable_names import attribute_paths, canonical_name, canonical_path

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("class_net/class-predict/bias:0", "class_net/class-predict/bias"),
        ("efficientdet-d0/efficientnet-b0/stem/conv2d/kernel", "efficientnet-b0/stem/conv2d/kernel"),
        ("fpn_cells/cell_0/fnode1/WSM_2", "fpn_cells/cell_0/fnode1/WSM_2"),
        ("segmentation_head/bn_0/gamma", "segmentation_head/bn_0/gamma"),
        ("class_net/class-predict/bias/Momentum", None),
        ("beta1_power", None),
        ("global_step", None),
        ("resnet50/conv1/kernel", None),
    ],
)
def test_canonical_name(name: str, expected: str | None):
    assert canonical_name(name) == expected


def test_canonical_path():
    assert canonical_path("model/backbone/_stem/_bn/beta") == "backbone/_stem/_bn/beta"
    nested = "fpn_cells/cells/0/fnodes/1/resample_layers/0/bn/beta"
    assert canonical_path(f"model/{nested}") == nested
    assert canonical_path("layer/0/kernel") is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("efficientnet-lite0/blocks_0/conv2d/kernel", "backbone/_blocks/0/_project_conv/kernel"),
        ("efficientnet-lite0/blocks_1/conv2d/kernel", "backbone/_blocks/1/_expand_conv/kernel"),
        ("efficientnet-lite0/blocks_1/conv2d_1/kernel", "backbone/_blocks/1/_project_conv/kernel"),
        ("efficientnet-lite0/blocks_0/tpu_batch_normalization/beta", "backbone/_blocks/0/_bn1/beta"),
        ("efficientnet-lite0/blocks_1/tpu_batch_normalization_1/beta", "backbone/_blocks/1/_bn1/beta"),
        ("resample_p6/bn/beta", "resample_layers/0/bn/beta"),
        ("class_net/class-2-bn-5/gamma", "class_net/bns/2/1/gamma"),
        ("class_net/class-0-bn-4/gamma", "class_net/bns/0/0/gamma"),
    ],
)
def test_paths_depend_on_what_else_there_is(name: str, path: str):
    names = ["efficientnet-lite0/blocks_0/conv2d/kernel", "efficientnet-lite0/blocks_1/conv2d_1/kernel"]
    assert attribute_paths([*names, "class_net/class-0-bn-4/gamma", name])[name] == path


def test_paths_equal_the_reference(shared: Path):
    """15 models, 17 thousand variables."""
    for model in json.loads((shared / "golden/models.json").read_text()).values():
        expected = {v["name"]: v["ckpt_key"].removesuffix(SUFFIX) for v in model["variables"]}
        assert attribute_paths(expected) == expected
