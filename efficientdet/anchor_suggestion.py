"""Which aspect ratios of anchors fit a data set: clusters of its boxes with IoU as the distance.

The idea is that of YOLO9000 (arXiv 1612.08242). There cluster centres are free shapes; here they are what a detector
can be told, aspect ratios that all levels and octaves share, so that boxes are compared with the very anchors of the
config. Such centres are few enough to try each in turn, which needs no random start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.anchors import POSITIVE_IOU, AspectRatio
from efficientdet.architectures import feature_sizes
from efficientdet.config import Config
from efficientdet.data.input_pipeline import read_examples
from efficientdet.errors import DataError

Shapes = NDArray[np.float32]  # `[n, 2]` height, width in pixels of the network input

CANDIDATES = tuple(float(f"{2 ** (i / 6):.2g}") for i in range(-18, 19))  # from 1:8 to 8:1, neighbours at IoU 0.89
LEAST_GAIN = 1e-3  # of mean IoU; what gains less is not worth other anchors


@dataclass(frozen=True)
class AnchorFit:
    """How near anchors come to boxes: the mean of each box's best IoU, and the part of boxes with less than 0.5.

    An anchor is thought to lie on the centre of the box, so real ones come a little less near.
    """

    aspect_ratios: tuple[AspectRatio, ...]
    mean_iou: float
    unreached: float


@dataclass(frozen=True)
class AnchorSuggestion:
    """The anchors of a config and those that fit better, or the same ones in ascending order.

    too_small: part of the boxes with less than half the area of the smallest anchor, which no aspect ratio reaches.
    """

    current: AnchorFit
    suggested: AnchorFit
    too_small: float

    @property
    def is_new(self) -> bool:
        """Whether other aspect ratios fit better than the config's."""
        return set(self.suggested.aspect_ratios) != set(self.current.aspect_ratios)

    @property
    def hparams(self) -> str:
        """The suggestion as `--hparams` takes it."""
        return f"model.aspect_ratios={ratios_text(self.suggested.aspect_ratios)}"


def ratios_text(aspect_ratios: Sequence[AspectRatio]) -> str:
    """Aspect ratios as a YAML list without spaces; `Config.override` reads it."""
    return str([list(r) if isinstance(r, tuple) else r for r in aspect_ratios]).replace(" ", "")


def box_shapes(pattern: str | Sequence[str], config: Config) -> Shapes:
    """`[n, 2]` float32 height and width of every box to learn, in pixels of the network input it is fitted into.

    Args:
      pattern: file patterns of example shards; no image is decoded.
      config: its input size; random scales of training are left out.
    """
    size = tf.constant(config.model.input_size, tf.float32)

    def shapes(example: dict[str, tf.Tensor]) -> tf.Tensor:
        original = tf.cast(tf.stack([example["height"], example["width"]]), tf.float32)
        boxes = tf.boolean_mask(example["boxes"], (example["classes"] > 0) & ~example["is_crowd"])
        sides = (boxes[:, 2:] - boxes[:, :2]) * tf.reduce_min(size / original)
        return tf.boolean_mask(sides, tf.reduce_min(sides, axis=1) > 0)

    images = read_examples(pattern).map(shapes, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    found = [of_image for of_image in images.as_numpy_iterator() if len(of_image)]
    return np.concatenate([np.empty((0, 2), np.float32), *found])


def suggest_anchors(shapes: Shapes, config: Config) -> AnchorSuggestion:
    """As many aspect ratios as the config has, that come nearest to boxes of `shapes`, in ascending order.

    Starting from the config's, each is exchanged for the candidate that gains most, until none does: the mean IoU
    never falls, and the same boxes give the same answer.

    Raises:
      DataError: there are no boxes.
    """
    if not len(shapes):
        raise DataError("the examples hold no box to suggest anchors for; give a split with boxes")
    current = config.model.aspect_ratios
    ratios: list[AspectRatio] = sorted({*CANDIDATES, *current}, key=_width_by_height)
    anchors = anchor_shapes(config, ratios)
    fits = np.stack([_best_iou(shapes, of_ratio) for of_ratio in anchors], axis=1)
    start = [ratios.index(ratio) for ratio in current]
    chosen = sorted(_exchange(fits, start))
    smallest = min(height * width for height, width in anchors[start].reshape(-1, 2))
    return AnchorSuggestion(
        current=_fit(fits[:, start], current),
        suggested=_fit(fits[:, chosen], tuple(ratios[i] for i in chosen)),
        too_small=float(np.mean(shapes.prod(axis=1) < POSITIVE_IOU * smallest)),
    )


def anchor_shapes(config: Config, aspect_ratios: Sequence[AspectRatio]) -> NDArray[np.float32]:
    """`[ratios, levels * octaves, 2]` heights and widths, in pixels, of a config's anchors with other aspect ratios."""
    architecture, octaves = config.model.architecture, config.model.num_scales
    sizes = feature_sizes(config.model.input_size, architecture.min_level, architecture.max_level)
    strides = np.divide(config.model.input_size, sizes)
    scales = np.broadcast_to(architecture.anchor_scale, len(sizes))[:, None] * 2 ** (np.arange(octaves) / octaves)
    squares = (scales[:, :, None] * strides[:, None]).reshape(-1, 2)
    factors = [(r**-0.5, r**0.5) if isinstance(r, (int, float)) else r[::-1] for r in aspect_ratios]
    return (np.array(factors)[:, None] * squares).astype(np.float32)


def _width_by_height(ratio: AspectRatio) -> float:
    return ratio if isinstance(ratio, (int, float)) else ratio[0] / ratio[1]


def _best_iou(shapes: Shapes, anchors: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[n]` IoU of each box with the best of some anchors `[a, 2]`, centre on centre."""
    heights, widths = shapes.T
    areas, best = heights * widths, np.zeros(len(shapes), np.float32)
    for height, width in anchors:
        overlap = np.minimum(heights, height) * np.minimum(widths, width)
        np.maximum(best, overlap / (areas + height * width - overlap), out=best)
    return best


def _exchange(fits: NDArray[np.float32], chosen: Sequence[int]) -> list[int]:
    """Columns of `fits` `[n, c]` such that no other column in place of one raises the mean of each row's best."""
    chosen, reached, settled = list(chosen), _mean_best(fits[:, chosen]), False
    while not settled:
        settled = True
        for place in range(len(chosen)):
            others = fits[:, chosen[:place] + chosen[place + 1 :]].max(axis=1, initial=0)
            means = [np.maximum(column, others).mean(dtype=np.float64) for column in fits.T]
            best = int(np.argmax(means))
            if means[best] > reached + LEAST_GAIN:
                chosen[place], reached, settled = best, float(means[best]), False
    return chosen


def _mean_best(fits: NDArray[np.float32]) -> float:
    return float(fits.max(axis=1).mean(dtype=np.float64))


def _fit(fits: NDArray[np.float32], aspect_ratios: tuple[AspectRatio, ...]) -> AnchorFit:
    return AnchorFit(aspect_ratios, _mean_best(fits), float(np.mean(fits.max(axis=1) < POSITIVE_IOU)))
