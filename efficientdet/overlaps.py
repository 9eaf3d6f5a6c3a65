"""Which detections meet which groundtruth: rows of many images side by side, and the pairs of one image and class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


@dataclass(frozen=True)
class Groundtruth:
    """The n annotations of one image, in the order of the annotation file (it decides between equal overlaps).

    boxes_xywh `[n, 4]` pixels, classes `[n]`, is_crowd `[n]`, area `[n]` square pixels as annotated
    (COCO's is that of the segmentation, not of the box), difficult `[n]` (None: none is). VOC's numbers leave out
    difficult objects. COCO's count them, as pycocotools does, which sets `ignore` to what `iscrowd` says.
    """

    boxes_xywh: ArrayLike
    classes: ArrayLike
    is_crowd: ArrayLike
    area: ArrayLike
    difficult: ArrayLike | None = None


Scene = tuple[str, Groundtruth, ArrayLike, ArrayLike, ArrayLike]
"""One image: its id, its groundtruth, and m detections: boxes_xywh `[m, 4]` pixels, classes `[m]`, scores `[m]`."""

PAIRS = 1 << 18  # of which the overlap is computed at a time: a crowded image does not fill the memory
_CHUNK = 250  # images whose rows fit the processor's cache


def chunks_of(scenes: Sequence[Scene]) -> Iterator[Sequence[Scene]]:
    """The images, as many at a time as are best matched together."""
    return (scenes[start : start + _CHUNK] for start in range(0, len(scenes), _CHUNK))


class Annotations(NamedTuple):
    """The n annotations of several images, ordered by image, class and place in the annotation file.

    key `[n]` int64 tells image and class; boxes `[4, n]` float64 x, y, width, height; the others are `[n]`.
    """

    key: NDArray[np.int64]
    boxes: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    area: NDArray[np.float64]
    difficult: NDArray[np.bool_]

    @classmethod
    def of(cls, truths: Sequence[Groundtruth]) -> Annotations:
        """Those of one Groundtruth per image."""
        classes = [np.asarray(truth.classes, np.int32).reshape(-1) for truth in truths]
        counts = [len(column) for column in classes]
        difficult = [
            np.zeros(n, bool) if t.difficult is None else t.difficult for t, n in zip(truths, counts, strict=True)
        ]
        key = _keys(classes, counts)
        order = np.argsort(key, kind="stable")
        return cls(
            key[order],
            _boxes([truth.boxes_xywh for truth in truths], counts)[:, order],
            _column([truth.is_crowd for truth in truths], np.bool_, counts)[order],
            _column([truth.area for truth in truths], np.float64, counts)[order],
            _column(difficult, np.bool_, counts)[order],
        )

    def per_class(self, which: NDArray[np.bool_], images: int) -> list[dict[int, NDArray[np.int64]]]:
        """Per image, and class that it has annotations of, the number of those marked in each column of `[n, a]`."""
        counts: list[dict[int, NDArray[np.int64]]] = [{} for _ in range(images)]
        if len(self.key):
            starts = starts_of(self.key)
            sums = np.add.reduceat(which, starts, axis=0, dtype=np.int64)
            first = self.key[starts]
            for image, c, n in zip((first >> 32).tolist(), first.astype(np.int32).tolist(), sums, strict=True):
                counts[image][c] = n
        return counts


class Candidates(NamedTuple):
    """The m detections of several images, ordered by image, class and falling score, equal scores as given.

    key `[m]` as in Annotations; boxes `[4, m]` float64 x, y, width, height; scores `[m]`; rank `[m]` how many of the
    same image and class stand before; images `[m]` the index of the image.
    """

    key: NDArray[np.int64]
    classes: NDArray[np.int32]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    rank: NDArray[np.int64]
    images: NDArray[np.int64]

    @classmethod
    def of(cls, scenes: Sequence[Scene], most: int | None = None) -> Candidates:
        """Those of several images, the best `most` of each image and class where that is given."""
        classes = [np.asarray(scene[3], np.int32).reshape(-1) for scene in scenes]
        counts = [len(column) for column in classes]
        key, scores = _keys(classes, counts), _column([scene[4] for scene in scenes], np.float64, counts)
        order = np.lexsort((-scores, key))
        key = key[order]
        starts = starts_of(key)
        rank = np.arange(len(key)) - np.repeat(starts, np.diff(starts, append=len(key)))
        if most is not None and len(rank) and rank.max() >= most:
            kept = rank < most
            order, key, rank = order[kept], key[kept], rank[kept]
        boxes = _boxes([scene[2] for scene in scenes], counts)[:, order]
        return cls(key, key.astype(np.int32), boxes, scores[order], rank, key >> 32)


def overlapping_pairs(
    found: Candidates, truth: Annotations, is_crowd: NDArray[np.bool_], least: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of one image and class that overlap by `least` or more, as pycocotools computes it.

    Returns `[p]` rows of `found`, `[p]` rows of `truth` and `[p]` their overlap, which is taken over the detection's
    own area where `is_crowd` `[n]` says so. Pairs are ordered by detection, and then from the last annotation.
    """
    starts = starts_of(found.key)
    low, high = (np.searchsorted(truth.key, found.key[starts], side) for side in ("left", "right"))
    members = np.diff(starts, append=len(found.key))
    low, high = np.repeat(low, members), np.repeat(high, members)
    ends = np.cumsum(high - low)
    splits = np.searchsorted(ends, np.arange(PAIRS, ends[-1:].sum(), PAIRS))
    parts = []
    for rows in np.split(np.arange(len(found.key)), splits):
        d, g = _pairs(rows, low[rows], high[rows])
        overlaps = _iou_xywh(found.boxes[:, d], truth.boxes[:, g], is_crowd[g])
        near = np.flatnonzero(overlaps >= least)
        parts.append((d[near], g[near], overlaps[near]))
    d, g, overlaps = (np.concatenate(column) for column in zip(*parts, strict=True))
    return d, g, overlaps


def _pairs(
    rows: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each of `rows` `[m]` as often as numbers lie from its `low` to below its `high`, with the numbers, falling."""
    counts = high - low
    total = np.cumsum(counts)
    return np.repeat(rows, counts), np.repeat(high + total - counts, counts) - np.arange(counts.sum()) - 1


def _iou_xywh(
    boxes: NDArray[np.float64], others: NDArray[np.float64], is_crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """`[p]` overlap of the columns of `[4, p]` xywh boxes; over the first's own area where the other is a crowd."""
    (x, y, w, h), (other_x, other_y, other_w, other_h) = boxes, others
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged model's boxes overlap nothing
        width = np.minimum(x + w, other_x + other_w) - np.maximum(x, other_x)
        height = np.minimum(y + h, other_y + other_h) - np.maximum(y, other_y)
        shared, own = width * height, w * h
        union = np.where(is_crowd, own, own + other_w * other_h - shared)
        return np.divide(shared, union, out=np.zeros_like(shared), where=(width > 0) & (height > 0))


def _keys(classes: Sequence[NDArray[np.int32]], counts: Sequence[int]) -> NDArray[np.int64]:
    """`[n]` image << 32 | class."""
    images = np.repeat(np.arange(len(counts), dtype=np.int64), counts) << 32
    return images | np.concatenate(classes).astype(np.uint32)


def starts_of(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where a new image or class begins."""
    return np.flatnonzero(np.diff(key, prepend=key[:1] - 1))


def _boxes(boxes: Sequence[ArrayLike], counts: Sequence[int]) -> NDArray[np.float64]:
    """`[4, n]` from `[n, 4]` of each image."""
    return np.ascontiguousarray(_column(boxes, np.float64, counts, width=4).T)


def _column(values: Sequence[ArrayLike], dtype: DTypeLike, counts: Sequence[int], width: int = 1) -> NDArray:
    """The values of all images, one after the other. Raises ValueError where an image does not have its count."""
    parts = [np.asarray(part, dtype).reshape(-1, width) for part in values]
    if [len(part) for part in parts] != list(counts):
        wrong = next(i for i, part in enumerate(parts) if len(part) != counts[i])
        raise ValueError(f"image {wrong} of {len(parts)}: {counts[wrong]} classes but {len(parts[wrong])} values")
    return np.concatenate(parts) if width > 1 else np.concatenate(parts)[:, 0]
