"""How well anchors lie over boxes: the best IoU of a box with any anchor of the grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from efficientdet.anchor_suggestion import anchor_shapes
from efficientdet.architectures import feature_sizes
from efficientdet.config import Config


class AnchorMatch:
    """The anchors of a config.

    What an anchor of one shape shares with a box is a height that depends on its row times a width that depends on
    its column, and the nearer its centre the more: the row and the column nearest to the box hold the best one.

    Attributes:
      shapes: `[levels * octaves * ratios, 2]` float32 height and width of the anchors, pixels of the network input.
    """

    def __init__(self, config: Config) -> None:
        architecture, self._input_size = config.model.architecture, config.model.input_size
        self._sizes = np.array(feature_sizes(self._input_size, architecture.min_level, architecture.max_level))
        shapes = anchor_shapes(config, config.model.aspect_ratios).reshape(
            len(config.model.aspect_ratios), len(self._sizes), config.model.num_scales, 2
        )
        self._by_level = np.moveaxis(shapes, 1, 0).reshape(len(self._sizes), -1, 2)
        self.shapes = self._by_level.reshape(-1, 2)

    def scale(self, height: int, width: int) -> float:
        """What multiplies the pixels of an image into those of the network input."""
        return float(min(self._input_size[0] / height, self._input_size[1] / width))

    def best_iou(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """`[n]` the highest IoU of boxes `[n, 4]`, yxyx pixels of the network input, with an anchor."""
        centres, sides = (boxes[:, 2:] + boxes[:, :2]) / 2, boxes[:, 2:] - boxes[:, :2]
        best = np.zeros(len(boxes), np.float32)
        for size, shapes in zip(self._sizes, self._by_level, strict=True):
            stride = self._input_size / size
            cells = np.clip(np.floor(centres / stride), 0, size - 1)
            nearest = (cells + 0.5) * stride
            low = np.maximum(boxes[:, None, :2], nearest[:, None] - shapes / 2)
            high = np.minimum(boxes[:, None, 2:], nearest[:, None] + shapes / 2)
            overlap = np.maximum(high - low, 0).prod(axis=2)
            union = sides.prod(axis=1)[:, None] + shapes.prod(axis=1) - overlap
            np.maximum(best, (overlap / union).max(axis=1), out=best, casting="same_kind")
        return best
