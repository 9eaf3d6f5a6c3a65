"""What google/automl calls the variables of its detectors, in names and in attribute paths."""

from __future__ import annotations

import re
from collections.abc import Collection

AVERAGE = "/ExponentialMovingAverage"  # of a variable, in checkpoints written by TensorFlow 1

# A file may put a scope before the name (the model's own name, say), and what follows it belongs to an optimizer.
_LEAF = r"(?:(?:depthwise_|pointwise_)?kernel|bias|gamma|beta|moving_mean|moving_variance|WSM(?:_\d+)?)"
_NAME = re.compile(
    rf"(?:.*?/)?((?:efficientnet-[^/]+|resample_p\d+|fpn_cells|(?:class|box)_net|segmentation_head)/(?:.+/)?{_LEAF})"
)
_PATH = re.compile(rf"(?:.*?/)?((?:backbone|resample_layers|fpn_cells/cells|class_net|box_net)/(?:.+/)?{_LEAF})")

_PATHS = (
    (r"/cell_(\d+)/fnode(\d+)/", r"/cells/\1/fnodes/\2/"),
    (r"/resample_(\d+)_\d+_\d+/", r"/resample_layers/\1/"),
    (r"/op_after_combine\d+/conv/", "/op_after_combine/conv_op/"),
    (r"/op_after_combine\d+/bn/", "/op_after_combine/bn/"),
    (r"/class-predict/", "/classes/"),
    (r"/box-predict/", "/boxes/"),
    (r"/(class|box)-(\d+)/", r"/conv_ops/\2/"),
)


def canonical_name(name: str) -> str | None:
    """The variable's name as the detector bears it, without scopes and `:0`; None for any other variable."""
    match = _NAME.fullmatch(name.removesuffix(":0"))
    return match[1] if match else None


def canonical_path(path: str) -> str | None:
    """An attribute path from the detector on, as in `backbone/_blocks/0/_bn1/beta`; None for any other object."""
    match = _PATH.fullmatch(path)
    return match[1] if match else None


def attribute_paths(names: Collection[str]) -> dict[str, str]:
    """Where google/automl's Python objects keep each variable of one detector.

    Args:
      names: of all variables of the detector; blocks and levels are numbered by what else there is.

    Returns:
      Name to path: `class_net/class-predict/bias` is in `class_net/classes/bias`. The way back does not exist:
      a path says neither which backbone it is nor which feature maps a fusion takes.
    """
    levels = [int(match[1]) for name in names if (match := re.search(r"_net/\w+-\d+-bn-(\d+)/", name))]
    finest = min(levels, default=0)
    expanding = {name.split("/conv2d_1/")[0] for name in names if "/conv2d_1/" in name}
    return {name: _attribute_path(name, name.rsplit("/", 2)[0] in expanding, finest) for name in names}


def _attribute_path(name: str, expands: bool, finest: int) -> str:
    if name.startswith("efficientnet-"):
        return _backbone_path(name.split("/"), expands)
    if norm := re.fullmatch(r"(\w+_net)/\w+-(\d+)-bn-(\d+)/(\w+)", name):
        return f"{norm[1]}/bns/{norm[2]}/{int(norm[3]) - finest}/{norm[4]}"
    if pooled := re.fullmatch(r"resample_p(\d+)/(.+)", name):
        return f"resample_layers/{int(pooled[1]) - 6}/{pooled[2]}"
    for pattern, path in _PATHS:
        name = re.sub(pattern, path, name)
    return name


def _backbone_path(parts: list[str], expands: bool) -> str:
    _, part, *inner, layer, leaf = parts
    if part == "stem":
        return f"backbone/_stem/{'_conv_stem' if layer == 'conv2d' else '_bn'}/{leaf}"
    block = f"backbone/_blocks/{part.removeprefix('blocks_')}"
    if inner:
        return f"{block}/_se/{'_se_reduce' if layer == 'conv2d' else '_se_expand'}/{leaf}"
    if layer == "depthwise_conv2d":
        return f"{block}/_depthwise_conv/{leaf}"
    if layer.startswith("conv2d"):
        return f"{block}/{'_expand_conv' if expands and layer == 'conv2d' else '_project_conv'}/{leaf}"
    number = int(layer.removeprefix("tpu_batch_normalization").removeprefix("_") or 0)
    return f"{block}/_bn{number if expands else number + 1}/{leaf}"
