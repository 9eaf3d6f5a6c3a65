"""The published EfficientDet sizes: what distinguishes one name from another, and what each costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STDDEV = (58.395, 57.12, 57.375)


class Node(NamedTuple):
    """One fusion of a pyramid cell: the index of its output's level (0 is the finest) and the feature maps it fuses.

    Feature maps are numbered: the cell's inputs from fine to coarse, then the nodes in order.
    """

    level: int
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """A network: table 1 of the EfficientDet paper (arXiv 1911.09070), lite and the options as in google/automl.

    `image_size` is (height, width); mean and stddev are per channel in 0..255 units; `anchor_scale` is the
    base anchor's side over its level's stride, one number or one per level. The fields from `fpn` on are the
    same in every published size.

    fpn: `bifpn`, or `qufpn`, which goes up and down the pyramid in both orders and adds the two.
    fpn_nodes: the fusions of one cell, instead of those of `fpn`.
    separable_conv: separable 3x3 convolutions in pyramid and heads, else plain ones.
    conv_bn_act: convolution, normalisation, activation after a fusion, else activation first.
    resample_bn: batch normalisation after the 1x1 convolution that changes channels.
    conv_after_downsample: that convolution after pooling, else before.
    head_survival: probability that a hidden layer of a head is kept in training; given, the layers are residual.
    """

    name: str
    backbone: str
    image_size: tuple[int, int]
    fpn_filters: int
    fpn_repeats: int
    head_repeats: int
    anchor_scale: float | tuple[float, ...] = 4.0
    min_level: int = 3
    max_level: int = 7
    activation: str = "swish"
    fusion: str = "fastattn"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    stddev: tuple[float, float, float] = IMAGENET_STDDEV
    fpn: str = "bifpn"
    fpn_nodes: tuple[Node, ...] | None = None
    separable_conv: bool = True
    conv_bn_act: bool = False
    resample_bn: bool = True
    conv_after_downsample: bool = False
    head_survival: float | None = None

    @property
    def levels(self) -> range:
        """The pyramid levels, from fine to coarse."""
        return range(self.min_level, self.max_level + 1)


class Cost(NamedTuple):
    """What a size costs with 90 classes at its own image size.

    flops: multiply-adds of inference on one image, as the paper counts FLOPs (half of TensorFlow's floating-point
    operations, batch normalisation being folded away); google/automl's count differs by less than 0.1 %.
    """

    parameters: int
    flops: int


def _standard(name: str, size: int, filters: int, repeats: int, heads: int, backbone: str = "") -> Architecture:
    backbone = backbone or f"efficientnet-b{name[1]}"
    return Architecture(f"efficientdet-{name}", backbone, (size, size), filters, repeats, heads)


def _lite(name: str, size: int, filters: int, repeats: int, heads: int, anchor_scale: float) -> Architecture:
    base = _standard(name, size, filters, repeats, heads, backbone=f"efficientnet-{name[:5]}")
    return replace(
        base,
        anchor_scale=anchor_scale,
        activation="relu6",
        fusion="sum",
        mean=(127.0,) * 3,
        stddev=(128.0,) * 3,
    )


def _at_640(architecture: Architecture) -> Architecture:
    """The same network at the fixed resolution for which google/automl publishes faster checkpoints of D2 to D6."""
    return replace(architecture, name=f"{architecture.name}(640)", image_size=(640, 640))


_STANDARD = (
    _standard("d0", 512, 64, 3, 3),
    _standard("d1", 640, 88, 4, 3),
    _standard("d2", 768, 112, 5, 3),
    _standard("d3", 896, 160, 6, 4),
    _standard("d4", 1024, 224, 7, 4),
    _standard("d5", 1280, 288, 7, 4),
    replace(_standard("d6", 1280, 384, 8, 5), fusion="sum"),
    replace(_standard("d7", 1536, 384, 8, 5, backbone="efficientnet-b6"), fusion="sum", anchor_scale=5.0),
    replace(_standard("d7x", 1536, 384, 8, 5), fusion="sum", max_level=8),
)
_LITE = (
    _lite("lite0", 320, 64, 3, 3, 3.0),
    _lite("lite1", 384, 88, 4, 3, 3.0),
    _lite("lite2", 448, 112, 5, 3, 3.0),
    _lite("lite3", 512, 160, 6, 4, 4.0),
    _lite("lite3x", 640, 200, 6, 4, 3.0),
    _lite("lite4", 640, 224, 7, 4, 4.0),
)
_FIXED_640 = tuple(_at_640(architecture) for architecture in _STANDARD[2:7])

ARCHITECTURES: dict[str, Architecture] = {a.name: a for a in (*_STANDARD, *_FIXED_640, *_LITE)}

# Counted on the built networks by `efficientdet.model.cost`, which a test repeats.
COSTS: dict[str, Cost] = {
    "efficientdet-d0": Cost(3_927_203, 2_547_822_895),
    "efficientdet-d1": Cost(6_697_354, 6_128_742_803),
    "efficientdet-d2": Cost(8_178_815, 11_035_955_306),
    "efficientdet-d3": Cost(12_146_600, 24_961_503_333),
    "efficientdet-d4": Cost(20_890_987, 55_301_131_281),
    "efficientdet-d5": Cost(33_880_707, 135_648_577_005),
    "efficientdet-d6": Cost(52_183_766, 226_047_220_312),
    "efficientdet-d7": Cost(52_183_766, 325_504_693_020),
    "efficientdet-d7x": Cost(77_564_894, 411_067_535_284),
    "efficientdet-d2(640)": Cost(8_178_815, 7_664_261_849),
    "efficientdet-d3(640)": Cost(12_146_600, 12_736_377_117),
    "efficientdet-d4(640)": Cost(20_890_987, 21_603_913_740),
    "efficientdet-d5(640)": Cost(33_880_707, 33_916_024_380),
    "efficientdet-d6(640)": Cost(52_183_766, 56_517_437_287),
    "efficientdet-lite0": Cost(3_290_606, 976_235_002),
    "efficientdet-lite1": Cost(4_311_390, 1_972_172_943),
    "efficientdet-lite2": Cost(5_324_894, 3_381_423_723),
    "efficientdet-lite3": Cost(8_455_054, 7_500_991_024),
    "efficientdet-lite3x": Cost(9_392_574, 14_017_331_975),
    "efficientdet-lite4": Cost(15_286_398, 20_217_199_675),
}


def feature_sizes(image_size: tuple[int, int], min_level: int, max_level: int) -> list[tuple[int, int]]:
    """(height, width) of each pyramid level: the image size halved and rounded up, level times."""
    height, width = image_size
    return [(-(-height // 2**level), -(-width // 2**level)) for level in range(min_level, max_level + 1)]
