"""What an evaluation saw, image by image: the groundtruth, and the detections of every contender.

Kept beside the numbers, so that a report, an interval or a second judgement needs no second inference.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from efficientdet.atomic_file import atomic_file
from efficientdet.errors import DataError
from efficientdet.overlaps import Groundtruth, Scene

SUFFIX = ".jsonl.gz"
CHAMPION_PREFIX = "champion/"
"""Before the variant, where a contender is the champion's file: `champion/int8`."""


class Found(NamedTuple):
    """The m detections of one contender in one image, sorted by falling score.

    boxes_xywh `[m, 4]` float64 pixels of the original image, classes `[m]` int32 contiguous ids from 1,
    scores `[m]` float64 in 0..1.
    """

    boxes_xywh: NDArray[np.float64]
    classes: NDArray[np.int32]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class ScoredImage:
    """One image of a split.

    image_id: the example's source id. height, width: pixels. truth: its annotations. found: detections by
    contender, the variant of a file (`float`, `int8`), after CHAMPION_PREFIX where it is the champion's.
    """

    image_id: str
    height: int
    width: int
    truth: Groundtruth
    found: Mapping[str, Found]

    def scene(self, contender: str) -> Scene:
        """What is matched of one contender."""
        return (self.image_id, self.truth, *self.found[contender])


def write_scored_images(path: str | Path, images: Iterable[ScoredImage]) -> Path:
    """Writes images as lines of JSON, gzip; the file appears complete or not at all. Numbers keep every bit."""
    # No time and no name in it: equal images are equal bytes.
    with (
        atomic_file(path) as aside,
        aside.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as file,
    ):
        for image in images:
            file.write(json.dumps(_to_record(image)).encode() + b"\n")
    return Path(path)


def read_scored_images(place: str | Path) -> Iterator[ScoredImage]:
    """The images of one file, or of every file of SUFFIX in a folder, in the order of their names.

    Raises DataError when there is none, or one is damaged.
    """
    place = Path(place)
    paths = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place]
    if not paths:
        raise DataError(f"{place}: holds no scored images (*{SUFFIX}); evaluate the model again")
    for path in paths:
        try:
            with gzip.open(path, "rb") as file:
                for line in file:
                    yield _from_record(json.loads(line))
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: is no file of scored images ({error}); evaluate the model again") from error


def _to_record(image: ScoredImage) -> dict[str, Any]:
    truth, found = image.truth, image.found
    difficult = np.zeros(len(np.asarray(truth.classes)), bool) if truth.difficult is None else truth.difficult
    columns = (truth.boxes_xywh, truth.classes, truth.is_crowd, truth.area, difficult)
    return {
        "image_id": image.image_id,
        "size": [image.height, image.width],
        "truth": [np.asarray(column).tolist() for column in columns],
        "found": {name: [column.tolist() for column in columns] for name, columns in found.items()},
    }


def _from_record(record: Mapping[str, Any]) -> ScoredImage:
    boxes, *columns = record["truth"]
    kinds = (np.int32, bool, float, bool)
    truth = Groundtruth(_boxes(boxes), *(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))
    found = {
        name: Found(_boxes(boxes), np.array(classes, np.int32), np.array(scores, float))
        for name, (boxes, classes, scores) in record["found"].items()
    }
    height, width = record["size"]
    return ScoredImage(record["image_id"], height, width, truth, found)


def _boxes(boxes: list[list[float]]) -> NDArray[np.float64]:
    return np.array(boxes, float).reshape(-1, 4)
