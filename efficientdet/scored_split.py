"""A whole split as an evaluation saw it, in columns: what numbers over all images are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from efficientdet.scored_image import CHAMPION_PREFIX, Found, ScoredImage


class Truths(NamedTuple):
    """The g annotations of all images, image by image.

    image `[g]` int32 place of the image, boxes_xywh `[g, 4]` pixels, classes `[g]` int32, is_crowd `[g]` bool,
    area `[g]` square pixels as annotated.
    """

    image: NDArray[np.int32]
    boxes_xywh: NDArray[np.float64]
    classes: NDArray[np.int32]
    is_crowd: NDArray[np.bool_]
    area: NDArray[np.float64]


class Detected(NamedTuple):
    """The d detections of one contender in all images, image by image, by falling score within each.

    image `[d]` int32 place of the image, boxes_xywh `[d, 4]` pixels, classes `[d]` int32, scores `[d]`.
    """

    image: NDArray[np.int32]
    boxes_xywh: NDArray[np.float64]
    classes: NDArray[np.int32]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class ScoredSplit:
    """n images in the order in which COCO counts them: numeric ids by value, then the others by name.

    image_ids: n source ids. sizes `[n, 2]` heights and widths, pixels. contenders: the candidate's variants, `float`
    first, then the champion's.
    """

    image_ids: list[str]
    sizes: NDArray[np.int64]
    truths: Truths
    contenders: dict[str, Detected]

    def __len__(self) -> int:
        return len(self.image_ids)

    def starts(self, image: NDArray[np.int32]) -> NDArray[np.int64]:
        """`[n + 1]` where the rows of each image begin in a column `image` of truths or detections, and the end."""
        return np.searchsorted(image, np.arange(len(self) + 1))


def gather(images: Iterable[ScoredImage]) -> ScoredSplit:
    """The columns of all images; a contender that an image does not name has found nothing there."""
    ordered = sorted(images, key=lambda image: _coco_order(image.image_id))
    names = sorted({name for image in ordered for name in image.found}, key=_contender_order)
    truths = [image.truth for image in ordered]
    return ScoredSplit(
        [image.image_id for image in ordered],
        np.array([(image.height, image.width) for image in ordered], np.int64).reshape(-1, 2),
        Truths(
            _places([truth.classes for truth in truths]),
            _column([truth.boxes_xywh for truth in truths], np.float64).reshape(-1, 4),
            _column([truth.classes for truth in truths], np.int32),
            _column([truth.is_crowd for truth in truths], np.bool_),
            _column([truth.area for truth in truths], np.float64),
        ),
        {name: _detected([image.found.get(name, NOTHING) for image in ordered]) for name in names},
    )


NOTHING = Found(np.zeros((0, 4)), np.zeros(0, np.int32), np.zeros(0))


def _detected(found: list[Found]) -> Detected:
    scores = _column([one.scores for one in found], np.float64)
    return Detected(
        _places([one.classes for one in found]),
        _column([one.boxes_xywh for one in found], np.float64).reshape(-1, 4),
        _column([one.classes for one in found], np.int32),
        np.nan_to_num(scores),  # a diverged model's; they are the last
    )


def _places(columns: Sequence[ArrayLike]) -> NDArray[np.int32]:
    lengths = [len(np.asarray(column)) for column in columns]
    return np.repeat(np.arange(len(columns), dtype=np.int32), lengths)


def _column(parts: Sequence[ArrayLike], dtype: type) -> NDArray:
    flat: list[NDArray] = [np.asarray(part, dtype).reshape(-1) for part in parts]
    return np.concatenate([np.empty(0, dtype), *flat])


def _coco_order(image_id: str) -> tuple[bool, int, str]:
    return (False, int(image_id), "") if image_id.isdecimal() else (True, 0, image_id)


def _contender_order(name: str) -> tuple[bool, bool, str]:
    variant = name.removeprefix(CHAMPION_PREFIX)
    return variant != name, variant != "float", variant
