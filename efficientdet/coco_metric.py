"""COCO's twelve detection numbers, equal to pycocotools, from an accumulator that can be merged.

Matching is per image and class, so shards of a data set are matched anywhere, in any order, and
merged; only the last step looks at everything. numpy is all it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from efficientdet.match_accumulator import ImageMatches, MatchAccumulator, split_by_image
from efficientdet.overlaps import Annotations, Candidates, Groundtruth, Scene, chunks_of, overlapping_pairs

__all__ = [
    "COCO_METRICS",
    "CocoAccumulator",
    "CocoScores",
    "Groundtruth",
    "ImageMatches",
    "match_image",
    "match_images",
]

COCO_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")

# cocodataset.org/#detection-eval; the bounds of the areas are inclusive, in square pixels.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
AREA_RANGES = np.array([(0, 1e5**2), (0, 32**2), (32**2, 96**2), (96**2, 1e5**2)])  # all, small, medium, large
MAX_DETECTIONS = 100  # per image and class
RECALLS = ((0, 1), (0, 10), (0, 100), (1, 100), (2, 100), (3, 100))  # (area, detections) of AR1 .. ARl

# What happened to a detection is a set of 40 bits, one per (area, IoU threshold), area first.
_T, _A = len(IOU_THRESHOLDS), len(AREA_RANGES)
_BITS = (np.uint64(1) << np.arange(_A * _T, dtype=np.uint64)).reshape(_A, _T)
_AREA_BITS = _BITS.sum(axis=1)
_REACH = np.array([_BITS[:, :reached].sum() for reached in range(_T + 1)], np.uint64)  # by thresholds reached
_EVERY = int(_BITS.sum())


@dataclass(frozen=True)
class CocoScores:
    """What an accumulator says: COCO's numbers in 0..1, None where no groundtruth makes one.

    `metrics` maps each of COCO_METRICS; `per_class` does so for each class that has groundtruth;
    `images` is how many images were matched, with or without detections or groundtruth.
    """

    metrics: dict[str, float | None]
    per_class: dict[int, dict[str, float | None]]
    images: int


def match_image(
    image_id: str, groundtruth: Groundtruth, boxes_xywh: ArrayLike, classes: ArrayLike, scores: ArrayLike
) -> ImageMatches:
    """Assigns the m detections of one image to its groundtruth, as pycocotools does.

    boxes_xywh `[m, 4]` pixels, classes `[m]` ids as in the groundtruth, scores `[m]`; boxes are taken
    as x, y, width, height so that the arithmetic is pycocotools' to the last bit.
    """
    return match_images([(image_id, groundtruth, boxes_xywh, classes, scores)])[0]


def match_images(scenes: Sequence[Scene]) -> list[ImageMatches]:
    """`match_image` of each, in a fraction of the time where there are many. Raises ValueError for unequal lengths."""
    return [matches for chunk in chunks_of(scenes) for matches in _match(chunk)]


class CocoAccumulator(MatchAccumulator):
    """Collects images in any order, in any number of parts, and computes COCO's numbers at the end."""

    dtype = np.dtype(
        [("image", "i4"), ("class", "i4"), ("rank", "i4"), ("score", "f8"), ("matched", "u8"), ("ignored", "u8")]
    )

    def compute(self) -> CocoScores:
        """The numbers over everything counted in so far."""
        curves = {c: _score_class(records, positives) for c, records, positives in self.by_class()}
        if not curves:
            return CocoScores(dict.fromkeys(COCO_METRICS), {}, self.images)
        precision, recall = (np.stack(parts, axis=-2) for parts in zip(*curves.values(), strict=True))
        per_class = {c: _summary(p[..., None, :], r[..., None, :]) for c, (p, r) in curves.items()}
        return CocoScores(_summary(precision, recall), per_class, self.images)


def _match(scenes: Sequence[Scene]) -> list[ImageMatches]:
    truth = Annotations.of([scene[1] for scene in scenes])
    found = Candidates.of(scenes, MAX_DETECTIONS)
    regular = _in_areas(truth.area) & ~truth.is_crowd[:, None]
    matched, ignored = _assign(found, truth, _area_sets(regular))
    area = (found.boxes[2] * found.boxes[3])[:, None]
    # Not the opposite of _in_areas: a diverged model's box without an area lies outside of none, and is wrong in all.
    outside = _area_sets((area < AREA_RANGES[:, 0]) | (area > AREA_RANGES[:, 1]))

    records = np.zeros(len(found.key), CocoAccumulator.dtype)
    records["class"], records["rank"], records["score"] = found.classes, found.rank, found.scores
    records["matched"], records["ignored"] = matched, ignored | (outside & ~matched)
    return split_by_image([scene[0] for scene in scenes], found.images, records, truth.per_class(regular, len(scenes)))


def _in_areas(area: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`[n, 4]` whether each area lies within each range."""
    return (area[:, None] >= AREA_RANGES[:, 0]) & (area[:, None] <= AREA_RANGES[:, 1])


def _area_sets(areas: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """`[n]` bit sets that hold every threshold of each area marked in `[n, 4]`."""
    return np.where(areas, _AREA_BITS, np.uint64(0)).sum(axis=1, dtype=np.uint64)


def _assign(
    found: Candidates, truth: Annotations, regular: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Bit sets `[m]`: where each detection is matched, and where by a groundtruth that is ignored there.

    Detections choose in order of score: the free groundtruth of largest overlap, the last of equals,
    one that counts before one that is ignored; only a crowd may be chosen again. In bits all areas
    and thresholds choose at once, and since a bit either counts or is ignored for a groundtruth, the
    choices among those that count can all be made first.
    """
    d, g, overlaps = overlapping_pairs(found, truth, truth.is_crowd, IOU_THRESHOLDS[0])
    best_first = np.lexsort((-overlaps, d))
    d, g, overlaps = d[best_first], g[best_first], overlaps[best_first]
    rows, d = np.unique(d, return_inverse=True)
    reach = _REACH[np.searchsorted(IOU_THRESHOLDS, overlaps, side="right")]
    pairs, may_repeat = list(zip(d.tolist(), g.tolist(), strict=True)), truth.is_crowd.tolist()
    open_, free = [_EVERY] * len(rows), [_EVERY] * len(regular)
    _choose(pairs, (reach & regular[g]).tolist(), open_, free, may_repeat)
    after_regular = np.array(open_, np.uint64)
    _choose(pairs, (reach & ~regular[g]).tolist(), open_, free, may_repeat)
    matched, ignored = np.zeros((2, len(found.key)), np.uint64)
    matched[rows] = np.uint64(_EVERY) - np.array(open_, np.uint64)
    ignored[rows] = after_regular - np.array(open_, np.uint64)
    return matched, ignored


def _choose(
    pairs: list[tuple[int, int]], wanted: list[int], open_: list[int], free: list[int], may_repeat: list[bool]
) -> None:
    """Takes from `open_` of each detection, and from `free` of what it chooses, the wanted bits that both have."""
    for (d, g), bits in zip(pairs, wanted, strict=True):
        if chosen := bits & open_[d] & free[g]:
            open_[d] -= chosen
            if not may_repeat[g]:
                free[g] -= chosen


def unpack(sets: NDArray[Any], area: int) -> NDArray[np.bool_]:
    """`[t, m]` the bits of one area from uint64 bit sets `[m]`."""
    octets = (sets >> np.uint64(area * _T)).astype("<u2").view(np.uint8).reshape(-1, 2)
    return np.ascontiguousarray(np.unpackbits(octets, axis=1, bitorder="little", count=_T).T).view(bool)


def _score_class(
    records: NDArray[np.void], positives: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision `[t, r, a]` and recall `[t, (area, detections)]` of one class; -1 where an area has no groundtruth."""
    precision, recall = np.full((_T, len(RECALL_THRESHOLDS), _A), -1.0), np.full((_T, len(RECALLS)), -1.0)
    rank, counts = records["rank"], ~records["ignored"]
    true = records["matched"] & counts
    for area in np.flatnonzero(positives).tolist():
        t, at = np.nonzero(unpack(true, area))
        counted = np.cumsum(unpack(counts, area), axis=1, dtype=np.int64)[t, at]
        precision[..., area] = _precision(t, counted, int(positives[area]))
        for column, (of, limit) in enumerate(RECALLS):
            if of == area:
                recall[:, column] = np.bincount(t[rank[at] < limit], minlength=_T) / positives[area]
    return precision, recall


def _precision(t: NDArray[np.int64], counted: NDArray[np.int64], positives: int) -> NDArray[np.float64]:
    """`[t, r]` best precision at or beyond each recall, 0 beyond the last.

    Recall rises, and precision peaks, only at a true positive. t `[p]` gives the threshold of each, ascending, and
    counted `[p]` how many detections of the threshold count up to it.
    """
    true = np.arange(1, len(t) + 1) - np.searchsorted(t, np.arange(_T))[t]
    best = np.zeros((_T, positives + 1))
    best[t, true] = true / (counted + np.spacing(1))
    best = np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]
    return best[:, np.searchsorted(np.arange(positives + 1) / positives, RECALL_THRESHOLDS)]


def _summary(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> dict[str, float | None]:
    """COCO_METRICS from precision `[t, r, k, a]` and recall `[t, k, (area, detections)]`; -1 is left out."""
    at_50, at_75 = 0, 5
    parts = [precision[..., 0], precision[at_50, ..., 0], precision[at_75, ..., 0]]
    parts += [precision[..., area] for area in range(1, _A)]
    parts += [recall[..., column] for column in range(len(RECALLS))]
    return {name: _mean(part[part > -1]) for name, part in zip(COCO_METRICS, parts, strict=True)}


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if values.size else None
