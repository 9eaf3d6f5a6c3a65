"""What matching leaves of images, collected in any order and in any number of parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class ImageMatches(NamedTuple):
    """One image after matching.

    records: one per detection that counts, with at least `image` (0), `class` and `score`. positives: per class that
    the image has groundtruth of, how much of it counts, `[areas]`.
    """

    image_id: str
    records: NDArray[np.void]
    positives: dict[int, NDArray[np.int64]]


def split_by_image(
    image_ids: Sequence[str],
    images: NDArray[np.int64],
    records: NDArray[np.void],
    positives: Sequence[dict[int, NDArray[np.int64]]],
) -> list[ImageMatches]:
    """The matches of each image, from the records of all: `images` `[m]`, ascending, says whose each is."""
    ends = np.searchsorted(images, np.arange(len(image_ids)), side="right").tolist()
    spans = zip([0, *ends], ends, strict=False)
    return [ImageMatches(i, records[a:b], n) for i, (a, b), n in zip(image_ids, spans, positives, strict=True)]


class MatchAccumulator:
    """Images that were matched. It holds the records of their detections; of an image without any, only that it was."""

    dtype: ClassVar[np.dtype]
    """Of the records."""

    def __init__(self, images: Iterable[ImageMatches] = ()) -> None:
        self.images = 0
        self._positives: dict[int, NDArray[np.int64]] = {}
        self._ids: list[str] = []  # of the images with records
        self._parts: list[NDArray[np.void]] = []
        self._first_ids: list[int] = []  # where the ids of each part begin
        for image in images:
            self.add(image)

    def add(self, image: ImageMatches) -> None:
        """Counts one image in; an image given twice counts twice."""
        self.images += 1
        if len(image.records):
            self._first_ids.append(len(self._ids))
            self._parts.append(image.records)
            self._ids.append(image.image_id)
        self._count(image.positives)

    def merge(self, other: Self) -> None:
        """Counts in everything that `other` holds."""
        self.images += other.images
        self._first_ids += [len(self._ids) + first for first in other._first_ids]
        self._parts += other._parts
        self._ids += other._ids
        self._count(other._positives)

    def compact(self) -> None:
        """Joins the records into one array, to travel well."""
        if self._parts:
            self._parts, self._first_ids = [self._joined()], [0]

    def by_class(self) -> Iterator[tuple[int, NDArray[np.void], NDArray[np.int64]]]:
        """Per class that has groundtruth, ascending: its id, its records by falling score, and its groundtruth.

        Equal scores keep the order of the images' ids, then that of the records in their image. `image` is then the
        index of the image among those that have records, as they were counted in.
        """
        records, classes = self._joined(), sorted(c for c, n in self._positives.items() if n.any())
        order = np.argsort(_places(self._ids)[records["image"]], kind="stable")
        order = order[np.argsort(records["class"][order], kind="stable")]
        lows, highs = (np.searchsorted(records["class"][order], classes, side) for side in ("left", "right"))
        for c, low, high in zip(classes, lows, highs, strict=True):
            rows = order[low:high]
            yield c, records[rows[np.argsort(-records["score"][rows], kind="stable")]], self._positives[c]

    def _count(self, positives: dict[int, NDArray[np.int64]]) -> None:
        for c, n in positives.items():
            self._positives[c] = self._positives[c] + n if c in self._positives else n

    def _joined(self) -> NDArray[np.void]:
        if not self._parts:
            return np.empty(0, self.dtype)
        octets = np.concatenate(
            [part.view(f"V{self.dtype.itemsize}") for part in self._parts]
        )  # slow with named fields
        records = octets.view(self.dtype)
        records["image"] += np.repeat(self._first_ids, [len(part) for part in self._parts])
        return records


def _places(image_ids: list[str]) -> NDArray[np.int64]:
    """`[n]` the place of each image when ordered by id."""
    places = np.empty(len(image_ids), np.int64)
    places[sorted(range(len(image_ids)), key=lambda i: _id_key(image_ids[i]))] = np.arange(len(image_ids))
    return places


def _id_key(image_id: str) -> tuple[bool, int, str]:
    """Numeric ids by value, as COCO's, before all others by name."""
    numeric = re.fullmatch("-?[0-9]{1,19}", image_id)
    return (False, int(image_id), image_id) if numeric else (True, 0, image_id)
