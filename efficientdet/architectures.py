"""The published EfficientDet sizes: what distinguishes one name from another, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STDDEV = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Architecture:
    """Constants of one size: table 1 of the EfficientDet paper (arXiv 1911.09070), lite as in google/automl.

    `image_size` is (height, width); mean and stddev are per channel in 0..255 units; `anchor_scale`
    is the base anchor's side over its level's stride.
    """

    name: str
    backbone: str
    image_size: tuple[int, int]
    fpn_filters: int
    fpn_repeats: int
    head_repeats: int
    anchor_scale: float = 4.0
    min_level: int = 3
    max_level: int = 7
    activation: str = "swish"
    fusion: str = "fastattn"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    stddev: tuple[float, float, float] = IMAGENET_STDDEV


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


_ALL = (
    _standard("d0", 512, 64, 3, 3),
    _standard("d1", 640, 88, 4, 3),
    _standard("d2", 768, 112, 5, 3),
    _standard("d3", 896, 160, 6, 4),
    _standard("d4", 1024, 224, 7, 4),
    _standard("d5", 1280, 288, 7, 4),
    replace(_standard("d6", 1280, 384, 8, 5), fusion="sum"),
    replace(_standard("d7", 1536, 384, 8, 5, backbone="efficientnet-b6"), fusion="sum", anchor_scale=5.0),
    replace(_standard("d7x", 1536, 384, 8, 5), fusion="sum", max_level=8),
    _lite("lite0", 320, 64, 3, 3, 3.0),
    _lite("lite1", 384, 88, 4, 3, 3.0),
    _lite("lite2", 448, 112, 5, 3, 3.0),
    _lite("lite3", 512, 160, 6, 4, 4.0),
    _lite("lite3x", 640, 200, 6, 4, 3.0),
    _lite("lite4", 640, 224, 7, 4, 4.0),
)

ARCHITECTURES: dict[str, Architecture] = {a.name: a for a in _ALL}
