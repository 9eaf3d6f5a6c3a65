"""How far a difference between two contenders may be chance: COCO's metrics over images drawn again and again.

Images are drawn with replacement, as many as there are, the same for both contenders: the paired percentile bootstrap
(Efron & Tibshirani, An Introduction to the Bootstrap, chapters 8 and 13). A draw is a weight per image, so detections
are matched and sorted once, and each draw costs a few passes over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from efficientdet.coco_metric import CocoAccumulator, ImageMatches
from efficientdet.weighted_metric import Metric, area_of, weighted_metric

DRAWS = 16  # at a time: enough to spare Python's calls, few enough for the processor's cache

FEWEST = 2
"""Images with groundtruth: drawn from fewer, all draws are alike, and tell nothing of other images."""


class Interval(NamedTuple):
    """A difference of a metric (or the metric of a lone contender), and the interval in which it lies."""

    difference: float
    low: float
    high: float


def paired_interval(
    a: Sequence[ImageMatches],
    b: Sequence[ImageMatches],
    metric: str = "AP",
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    class_id: int | None = None,
) -> Interval | None:
    """The metric of `a` less that of `b` over the same images in the same order.

    Args:
      a, b: `coco_metric.match_images` of two contenders.
      metric: one of COCO_METRICS.
      samples: how often the images are drawn.
      confidence: the share of the draws that lies in the interval.
      seed: equal seeds draw the same images.
      class_id: the metric of one class; None: COCO's mean over the classes.

    Returns:
      None where no groundtruth makes a metric. Draws without any are left out. Of a lone image with groundtruth the
      interval is all that can be.

    Raises ValueError where the contenders were not matched with the same groundtruth.
    """
    if len(a) != len(b):
        raise ValueError(f"one contender has {len(a)} images and the other {len(b)}")
    for image, other in zip(a, b, strict=True):
        if image.image_id != other.image_id or not _equal(image.positives, other.positives):
            raise ValueError(f"image {image.image_id} of one contender and {other.image_id} of the other differ")
    first, second = (weighted_metric(images, metric, class_id) for images in (a, b))
    point, other_point = (_point(images, metric, class_id) for images in (a, b))
    difference = None if point is None or other_point is None else point - other_point
    if difference is not None and _telling(a, metric, class_id) < FEWEST:
        return Interval(difference, -1.0, 1.0)
    return _interval(difference, lambda weights: first(weights) - second(weights), len(a), samples, confidence, seed)


def interval(
    images: Sequence[ImageMatches],
    metric: str = "AP",
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    class_id: int | None = None,
) -> Interval | None:
    """The metric of a lone contender, with the arguments of `paired_interval`."""
    point = _point(images, metric, class_id)
    if point is not None and _telling(images, metric, class_id) < FEWEST:
        return Interval(point, 0.0, 1.0)
    return _interval(point, weighted_metric(images, metric, class_id), len(images), samples, confidence, seed)


def _interval(
    point: float | None, metric: Metric, images: int, samples: int, confidence: float, seed: int
) -> Interval | None:
    if point is None:
        return None

    def draw(first: int) -> NDArray[np.float64]:
        seeds = ([seed, sample] for sample in range(first, min(first + DRAWS, samples)))
        drawn = [np.random.default_rng(each).integers(0, images, images) for each in seeds]
        return metric(np.stack([np.bincount(each, minlength=images) for each in drawn]).astype(np.int32))

    with ThreadPoolExecutor() as pool:  # numpy works outside of Python's lock
        values = np.concatenate(list(pool.map(draw, range(0, samples, DRAWS))))
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(point, float(low), float(high))


def _point(images: Sequence[ImageMatches], metric: str, class_id: int | None) -> float | None:
    scores = CocoAccumulator(images).compute()
    return (scores.metrics if class_id is None else scores.per_class.get(class_id, {})).get(metric)


def _telling(images: Sequence[ImageMatches], metric: str, class_id: int | None) -> int:
    """How many images hold groundtruth (of the class) that the metric counts."""
    area = area_of(metric)
    return sum(any(n[area] and class_id in (None, c) for c, n in image.positives.items()) for image in images)


def _equal(counts: dict[int, NDArray[np.int64]], others: dict[int, NDArray[np.int64]]) -> bool:
    return counts.keys() == others.keys() and all(np.array_equal(n, others[c]) for c, n in counts.items())
