"""Pascal VOC's average precision: a detection is right at an overlap of 0.5 or more.

The rules are those of the development kits (VOCevaldet.m and VOCap.m, host.robots.ox.ac.uk/pascal/VOC): 11-point
interpolation as up to VOC2009, and the area under the whole curve as from VOC2010 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from efficientdet.match_accumulator import ImageMatches, MatchAccumulator, split_by_image
from efficientdet.overlaps import Annotations, Candidates, Scene, chunks_of, overlapping_pairs, starts_of

VOC_METRICS = ("VOC_11_point", "VOC_every_point")
IOU_THRESHOLD = 0.5
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 11)


@dataclass(frozen=True)
class VocScores:
    """What an accumulator says: VOC's numbers in 0..1, None where no groundtruth makes one.

    `metrics` maps each of VOC_METRICS to its mean over the classes (VOC's mAP), `per_class` to that of each class
    that has groundtruth; `images` is how many images were matched.
    """

    metrics: dict[str, float | None]
    per_class: dict[int, dict[str, float]]
    images: int


def match_voc_images(scenes: Sequence[Scene], iou_threshold: float = IOU_THRESHOLD) -> list[ImageMatches]:
    """Judges the detections of images as VOC does, all of them, whatever their number.

    A detection belongs to the annotation of its class that it overlaps most, the first of equals: right if that is
    still free, wrong if it is not, or overlaps less than the threshold. One that belongs to a difficult annotation
    or a crowd is left out. VOC's corners are inclusive pixels counted from 1; in these boxes, continuous from 0,
    the same box has the same width. Raises ValueError for unequal lengths.
    """
    return [matches for chunk in chunks_of(scenes) for matches in _match(chunk, iou_threshold)]


class VocAccumulator(MatchAccumulator):
    """Collects images of `match_voc_images` in any order, in any number of parts, and computes VOC's numbers."""

    dtype = np.dtype([("image", "i4"), ("class", "i4"), ("score", "f8"), ("true", "?")])

    def compute(self) -> VocScores:
        """The numbers over everything counted in so far."""
        per_class = {c: _average_precisions(records["true"], int(n[0])) for c, records, n in self.by_class()}
        means = {name: [metrics[name] for metrics in per_class.values()] for name in VOC_METRICS}
        metrics = {name: float(np.mean(values)) if values else None for name, values in means.items()}
        return VocScores(metrics, per_class, self.images)


def _match(scenes: Sequence[Scene], iou_threshold: float) -> list[ImageMatches]:
    truth, found = Annotations.of([scene[1] for scene in scenes]), Candidates.of(scenes)
    left_out = truth.difficult | truth.is_crowd
    d, g, overlaps = overlapping_pairs(found, truth, np.zeros_like(truth.is_crowd), iou_threshold)
    best_first = np.lexsort((g, -overlaps, d))
    best = best_first[starts_of(d)]
    d, g = d[best], g[best]

    true, counts = np.zeros((2, len(found.key)), bool)
    counts[:] = True
    counts[d[left_out[g]]] = False
    true[d[np.unique(g, return_index=True)[1]]] = True  # of those that belong together the first has the best score
    records = np.zeros(len(found.key), VocAccumulator.dtype)
    records["class"], records["score"], records["true"] = found.classes, found.scores, true
    positives = truth.per_class(~left_out[:, None], len(scenes))
    return split_by_image([scene[0] for scene in scenes], found.images[counts], records[counts], positives)


def _average_precisions(true: NDArray[np.bool_], positives: int) -> dict[str, float]:
    """VOC_METRICS of one class from whether its detections `[m]`, by falling score, are right.

    Recall rises, and precision peaks, only where one is right: the n-th of them stands at n.
    """
    best = np.zeros(positives + 1)
    at = np.flatnonzero(true)
    best[1 : len(at) + 1] = np.arange(1, len(at) + 1) / (at + 1)
    best = np.maximum.accumulate(best[::-1])[::-1]
    eleven = best[np.searchsorted(np.arange(positives + 1) / positives, RECALL_THRESHOLDS)]
    return dict(zip(VOC_METRICS, (float(eleven.mean()), float(best[1:].sum() / positives)), strict=True))
