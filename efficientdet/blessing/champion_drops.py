"""What is lost against the champion, file by file, and how far that may be chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from efficientdet.bootstrap import Interval, paired_interval
from efficientdet.coco_metric import ImageMatches, match_images
from efficientdet.scored_image import CHAMPION_PREFIX, ScoredImage


def champion_drops(
    images: Iterable[ScoredImage], variants: Iterable[str], confidence: float = 0.95
) -> dict[str, Interval | None]:
    """The champion's AP minus the candidate's by variant; None where no groundtruth makes an AP.

    Both have seen the same images, which are drawn again and again, the same for both, for the interval.
    """
    images = list(images)
    return {
        variant: paired_interval(
            _matches(images, CHAMPION_PREFIX + variant), _matches(images, variant), confidence=confidence
        )
        for variant in variants
    }


def _matches(images: Sequence[ScoredImage], contender: str) -> list[ImageMatches]:
    return match_images([(image.image_id, image.truth, *image.found[contender]) for image in images])
