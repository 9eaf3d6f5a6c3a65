"""COCO's twelve detection numbers, equal to pycocotools, from an accumulator that can be merged.

Matching is per image and class, so shards of a data set are matched anywhere, in any order, and
merged; only the last step looks at everything. numpy is all it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

COCO_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")

# cocodataset.org/#detection-eval; the bounds of the areas are inclusive, in square pixels.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
AREA_RANGES = np.array([(0, 1e5**2), (0, 32**2), (32**2, 96**2), (96**2, 1e5**2)])  # all, small, medium, large
MAX_DETECTIONS = 100  # per image and class
_RECALLS = ((0, 1), (0, 10), (0, 100), (1, 100), (2, 100), (3, 100))  # (area, detections) of AR1 .. ARl

# What happened to a detection is a set of 40 bits, one per (area, IoU threshold), area first.
_T, _A = len(IOU_THRESHOLDS), len(AREA_RANGES)
_BITS = (np.uint64(1) << np.arange(_A * _T, dtype=np.uint64)).reshape(_A, _T)
_AREA_BITS = _BITS.sum(axis=1)
_REACHED = [sum(int(bits[:reached].sum()) for bits in _BITS) for reached in range(_T + 1)]

_RECORD = np.dtype(
    [("image", "i4"), ("class", "i4"), ("rank", "i4"), ("score", "f8"), ("matched", "u8"), ("ignored", "u8")]
)


@dataclass(frozen=True)
class Groundtruth:
    """The n annotations of one image, in the order of the annotation file (it decides between equal overlaps).

    boxes_xywh `[n, 4]` pixels, classes `[n]`, is_crowd `[n]`, area `[n]` square pixels as annotated
    (COCO's is that of the segmentation, not of the box).
    """

    boxes_xywh: ArrayLike
    classes: ArrayLike
    is_crowd: ArrayLike
    area: ArrayLike


class ImageMatches(NamedTuple):
    """One image after matching: a record per detection that counts, and per class the groundtruth per area."""

    image_id: str
    records: NDArray[np.void]
    positives: dict[int, NDArray[np.int64]]


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
    scores = np.asarray(scores, np.float64).reshape(-1)
    classes = np.asarray(classes, np.int32).reshape(-1)
    order = np.argsort(-scores, kind="stable")
    ranks = _ranks(classes[order])
    order, ranks = order[ranks < MAX_DETECTIONS], ranks[ranks < MAX_DETECTIONS]
    boxes = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)[order]
    truth_classes = np.asarray(groundtruth.classes, np.int32).reshape(-1)
    is_crowd = np.asarray(groundtruth.is_crowd).astype(bool).reshape(-1)
    regular = _in_areas(np.asarray(groundtruth.area, np.float64).reshape(-1)) & ~is_crowd[:, None]

    overlaps = _iou_xywh(boxes, np.asarray(groundtruth.boxes_xywh, np.float64).reshape(-1, 4), is_crowd)
    overlaps[classes[order][:, None] != truth_classes] = 0
    matched, ignored = _assign(overlaps, _area_sets(regular), is_crowd)
    outside = _area_sets(~_in_areas(boxes[:, 2] * boxes[:, 3]))

    records = np.empty(len(order), _RECORD)
    records["image"], records["class"], records["rank"] = 0, classes[order], ranks
    records["score"] = scores[order]
    records["matched"], records["ignored"] = matched, ignored | (outside & ~matched)
    counted = {int(c): regular[truth_classes == c].sum(axis=0) for c in np.unique(truth_classes)}
    return ImageMatches(image_id, records, counted)


class CocoAccumulator:
    """Collects images in any order, in any number of parts, and computes COCO's numbers at the end."""

    def __init__(self, images: Iterable[ImageMatches] = ()) -> None:
        self._image_ids: list[str] = []
        self._records: list[NDArray[np.void]] = []
        self._positives: dict[int, NDArray[np.int64]] = {}
        for image in images:
            self.add(image)

    def add(self, image: ImageMatches) -> None:
        """Counts one image in; an image given twice counts twice."""
        self._extend([image.image_id], [image.records], image.positives)

    def merge(self, other: CocoAccumulator) -> None:
        """Counts in everything that `other` holds."""
        self._extend(other._image_ids, other._records, other._positives)

    def compact(self) -> None:
        """Joins the records into one array, to travel well."""
        self._records = [self._joined()]

    def compute(self) -> CocoScores:
        """The numbers over everything counted in so far."""
        records = self._joined()
        order = np.empty(len(self._image_ids), np.int64)
        order[sorted(range(len(order)), key=lambda i: _image_key(self._image_ids[i]))] = np.arange(len(order))
        # Equal scores keep the order of the images' ids, then that of the detections.
        keys = (records["rank"], order[records["image"]], -records["score"], records["class"])
        records = records[np.lexsort(keys)]
        classes = sorted(c for c, n in self._positives.items() if n.any())
        precision = np.full((_T, len(RECALL_THRESHOLDS), len(classes), _A), -1.0)
        recall = np.full((_T, len(classes), len(_RECALLS)), -1.0)
        for k, c in enumerate(classes):
            low, high = np.searchsorted(records["class"], (c, c + 1))
            _score_class(records[low:high], self._positives[c], precision[:, :, k], recall[:, k])
        per_class = {c: _summary(precision[:, :, [k]], recall[:, [k]]) for k, c in enumerate(classes)}
        return CocoScores(_summary(precision, recall), per_class, len(self._image_ids))

    def _extend(self, ids: list[str], parts: list[NDArray[np.void]], positives: dict[int, NDArray[np.int64]]) -> None:
        for part in parts:
            moved = part.copy()
            moved["image"] += len(self._image_ids)
            self._records.append(moved)
        self._image_ids += ids
        for c, n in positives.items():
            self._positives[c] = self._positives.get(c, 0) + n

    def _joined(self) -> NDArray[np.void]:
        return np.concatenate([np.empty(0, _RECORD), *self._records])


def _image_key(image_id: str) -> tuple[bool, int, str]:
    """Numeric ids by value, as COCO's, before all others by name."""
    return (False, int(image_id), "") if image_id.isdecimal() else (True, 0, image_id)


def _ranks(classes: NDArray[np.int32]) -> NDArray[np.int64]:
    """`[m]` how many detections of the same class stand before each."""
    by_class = np.argsort(classes, kind="stable")
    ordered = classes[by_class]
    ranks = np.empty(len(classes), np.int64)
    ranks[by_class] = np.arange(len(classes)) - np.searchsorted(ordered, ordered)
    return ranks


def _in_areas(area: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`[n, 4]` whether each area lies within each range."""
    return (area[:, None] >= AREA_RANGES[:, 0]) & (area[:, None] <= AREA_RANGES[:, 1])


def _area_sets(areas: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """`[n]` bit sets that hold every threshold of each area marked in `[n, 4]`."""
    return np.where(areas, _AREA_BITS, np.uint64(0)).sum(axis=1, dtype=np.uint64)


def _iou_xywh(
    boxes: NDArray[np.float64], others: NDArray[np.float64], is_crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """`[m, n]` overlap of xywh boxes; over the detection's own area where the groundtruth is a crowd."""
    with np.errstate(invalid="ignore", over="ignore"):  # a diverged model's boxes overlap nothing
        low = np.maximum(boxes[:, None, :2], others[None, :, :2])
        high = np.minimum(boxes[:, None, :2] + boxes[:, None, 2:], others[None, :, :2] + others[None, :, 2:])
        sides = high - low
        shared = sides[..., 0] * sides[..., 1]
        own = (boxes[:, 2] * boxes[:, 3])[:, None]
        union = np.where(is_crowd, own, own + others[:, 2] * others[:, 3] - shared)
        overlapping = (sides > 0).all(axis=-1)
        return np.divide(shared, union, out=np.zeros_like(shared), where=overlapping)


def _assign(
    overlaps: NDArray[np.float64], regular: NDArray[np.uint64], is_crowd: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Bit sets `[m]`: where each detection is matched, and where by a groundtruth that is ignored there.

    Detections choose in order of score: the free groundtruth of largest overlap, the last of equals,
    one that counts before one that is ignored; only a crowd may be chosen again. In bits all areas
    and thresholds choose at once, and since a bit either counts or is ignored for a groundtruth, the
    choices among those that count can all be made first.
    """
    d, g = np.nonzero(overlaps >= IOU_THRESHOLDS[0])
    best_first = np.lexsort((-g, -overlaps[d, g], d))
    d, g = d[best_first], g[best_first]
    reached = np.searchsorted(IOU_THRESHOLDS, overlaps[d, g], side="right")
    pairs = [(i, j, _REACHED[r]) for i, j, r in zip(d.tolist(), g.tolist(), reached.tolist(), strict=True)]
    counts, crowd = regular.tolist(), is_crowd.tolist()
    matched, ignored, used = [0] * len(overlaps), [0] * len(overlaps), [0] * len(counts)
    for i, j, reach in pairs:
        chosen = reach & counts[j] & ~matched[i] & ~used[j]
        matched[i] |= chosen
        used[j] |= chosen
    for i, j, reach in pairs:
        chosen = reach & ~counts[j] & ~matched[i] & ~used[j]
        matched[i] |= chosen
        ignored[i] |= chosen
        if not crowd[j]:
            used[j] |= chosen
    return np.array(matched, np.uint64), np.array(ignored, np.uint64)


def _score_class(
    records: NDArray[np.void],
    positives: NDArray[np.int64],
    precision: NDArray[np.float64],
    recall: NDArray[np.float64],
) -> None:
    """Fills precision `[t, r, a]` and recall `[t, (area, detections)]` of one class from its sorted records."""
    for column, (area, limit) in enumerate(_RECALLS):
        if not positives[area]:
            continue
        taken = records[records["rank"] < limit]
        bits = _BITS[area][:, None]
        matched, counts = (taken["matched"] & bits) != 0, (taken["ignored"] & bits) == 0
        true = np.cumsum(matched & counts, axis=1, dtype=np.float64)
        recalls = true / positives[area]
        recall[:, column] = recalls[:, -1] if len(taken) else 0
        if limit == MAX_DETECTIONS:
            false = np.cumsum(~matched & counts, axis=1, dtype=np.float64)
            precisions = true / (false + true + np.spacing(1))
            precision[:, :, area] = _at_recalls(recalls, precisions)


def _at_recalls(recalls: NDArray[np.float64], precisions: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[t, r]` best precision at or beyond each recall threshold, 0 beyond the last recall, from curves `[t, m]`."""
    best = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((_T, 1))], axis=1)
    return np.stack([b[np.searchsorted(r, RECALL_THRESHOLDS)] for r, b in zip(recalls, best, strict=True)])


def _summary(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> dict[str, float | None]:
    """COCO_METRICS from precision `[t, r, k, a]` and recall `[t, k, (area, detections)]`; -1 is left out."""
    at_50, at_75 = 0, 5
    parts = [precision[..., 0], precision[at_50, ..., 0], precision[at_75, ..., 0]]
    parts += [precision[..., area] for area in range(1, _A)]
    parts += [recall[..., column] for column in range(len(_RECALLS))]
    return {name: _mean(part[part > -1]) for name, part in zip(COCO_METRICS, parts, strict=True)}


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(np.mean(values)) if values.size else None
