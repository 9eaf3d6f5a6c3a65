"""Which anchors a groundtruth box may be matched with, found without trying every anchor.

The anchors of one level and shape form a grid. How much one of them shares with a box is a height that depends on its
row alone times a width that depends on its column alone: rows and columns are sifted first, and few pairs remain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# The anchors of a grid differ in size by rounding; that much below its best a pair is still looked at.
SLACK = 0.999


class Pairs(NamedTuple):
    """Boxes with anchors: their rows among the boxes and the anchors, int32 `[p]`, and their IoU, float32 `[p]`."""

    box: tf.Tensor
    anchor: tf.Tensor
    iou: tf.Tensor


class _Lines(NamedTuple):
    """All rows, or all columns, of all grids, grid after grid; arrays `[s]`.

    low, high: where the anchors of a line begin and end, float32 pixels; grid: its number; part: its part of the
    index of its anchors, the other part being that of the crossing line.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    grid: NDArray[np.int32]
    part: NDArray[np.int32]

    def shared(self, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
        """`[s, n]` pixels that each line shares with intervals from `low` to `high`, both `[n]`."""
        return tf.maximum(tf.minimum(high, self.high[:, None]) - tf.maximum(low, self.low[:, None]), 0.0)


class AnchorSearch:
    """Searches the anchors of one network input size.

    Args:
      levels: per level `[h, w, shapes, 4]` float32 yxyx pixels. Anchors count through levels, rows, columns, shapes.
    """

    def __init__(self, levels: Sequence[NDArray[np.float32]]) -> None:
        self._anchors = np.concatenate([level.reshape(-1, 4) for level in levels])
        start, rows, columns, areas = 0, [], [], []
        for level in levels:
            height, width, shapes, _ = level.shape
            for shape in range(shapes):
                y_index, x_index = start + shape + np.arange(height) * width * shapes, np.arange(width) * shapes
                rows.append((level[:, 0, shape, 0], level[:, 0, shape, 2], y_index))
                columns.append((level[0, :, shape, 1], level[0, :, shape, 3], x_index))
                areas.append(np.prod(level[0, 0, shape, 2:] - level[0, 0, shape, :2]))
            start += height * width * shapes
        self._rows, self._columns = _lines(rows), _lines(columns)
        self._areas = np.array(areas, np.float32)[:, None]

    def pairs(self, boxes: tf.Tensor, least_iou: float) -> Pairs:
        """Every pair of at least that IoU, and those of each box's highest IoU above 0; maybe a few more.

        `boxes` is `[n, 4]` float32 yxyx pixels; degenerate ones are in no pair.
        """
        ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=1)
        heights, widths = self._rows.shared(ymin, ymax), self._columns.shared(xmin, xmax)
        # Each grid's best, `[g, n]`: lines cross freely, so the longest height meets the longest width.
        tallest = tf.math.segment_max(heights, self._rows.grid)
        widest = tf.math.segment_max(widths, self._columns.grid)
        area = (ymax - ymin) * (xmax - xmin)
        overlap = tallest * widest
        best = tf.reduce_max(tf.math.divide_no_nan(overlap, self._areas + area - overlap), axis=0)
        least = SLACK * tf.where(best > 0, tf.minimum(best, least_iou), np.inf)
        # A union is no smaller than either area, which says what a pair must share at least.
        needed = least * tf.maximum(self._areas, area)
        tall = heights * tf.gather(widest, self._rows.grid) >= tf.gather(needed, self._rows.grid)
        wide = widths * tf.gather(tallest, self._columns.grid) >= tf.gather(needed, self._columns.grid)
        return self._crossings(boxes, tall, wide)

    def _crossings(self, boxes: tf.Tensor, tall: tf.Tensor, wide: tf.Tensor) -> Pairs:
        """The pairs where rows `[s, n]` and columns `[t, n]` that are true cross, in one grid for one box."""
        number = tf.range(len(self._columns.grid))[:, None]
        first = tf.math.segment_min(tf.where(wide, number, len(self._columns.grid)), self._columns.grid)
        last = tf.math.segment_max(tf.where(wide, number, -1), self._columns.grid)
        row, box = tf.unstack(tf.cast(tf.where(tall), tf.int32), axis=1)
        place = tf.stack([tf.gather(self._rows.grid, row), box], axis=1)
        # Columns that reach far enough lie side by side.
        first, last = tf.gather_nd(first, place), tf.gather_nd(last, place)
        counts = tf.maximum(last - first + 1, 0)
        row, box, first = (tf.repeat(values, counts) for values in (row, box, first))
        column = first + tf.range(tf.size(row)) - tf.repeat(tf.cumsum(counts, exclusive=True), counts)
        anchor = tf.gather(self._rows.part, row) + tf.gather(self._columns.part, column)
        return Pairs(box, anchor, paired_iou(tf.gather(boxes, box), tf.gather(self._anchors, anchor)))


def paired_iou(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """`[p]` intersection over union of boxes `[p, 4]` with as many others; 0 for a degenerate one."""
    low = tf.maximum(boxes[:, :2], others[:, :2])
    high = tf.minimum(boxes[:, 2:], others[:, 2:])
    overlap = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=1)
    area, other = (tf.reduce_prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, others))
    return tf.math.divide_no_nan(overlap, area + other - overlap)


def _lines(grids: Sequence[tuple[NDArray, NDArray, NDArray]]) -> _Lines:
    """The lines of grids given as (low, high, index) each."""
    low, high, index = (np.concatenate(parts) for parts in zip(*grids, strict=True))
    number = np.repeat(np.arange(len(grids)), [len(part) for part, _, _ in grids])
    return _Lines(low, high, number.astype(np.int32), index.astype(np.int32))
