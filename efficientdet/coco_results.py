"""COCO's result files: a list of {image_id, category_id, bbox, score}, which any detector's makers can write.

They are read and written in bounded memory, whatever their size.
"""

from __future__ import annotations

import json
import reprlib
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from efficientdet.atomic_file import atomic_file
from efficientdet.data.coco_groundtruth import CocoGroundtruth, finite_numbers
from efficientdet.data.coco_index import text_id, whole_number
from efficientdet.data.json_stream import read_list
from efficientdet.errors import DataError, printable
from efficientdet.label_map import LabelMap
from efficientdet.scored_image import Found, ScoredImage

REMEDY = "give a COCO result file: a list of {image_id, category_id, bbox: [x, y, width, height], score}"


class CocoResults:
    """The detections of a result file, sorted on disk by image.

    detections: how many there are. strangers: how many of them are of a category that the annotations lack; they
    count for nothing, as in pycocotools.
    """

    def __init__(self, path: str | Path, groundtruth: CocoGroundtruth) -> None:
        """Reads the file.

        Raises DataError when it is no result file, an entry is no detection, or one is of an image that `groundtruth`
        does not list: numbers of what is left would be no one's.
        """
        self.path, self._groundtruth = path, groundtruth
        self._classes = {label.category_id: label.id for label in groundtruth.label_map}
        # Without a name it is a file of this process alone; while it is small it is in memory only.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        columns = "image TEXT, class INTEGER, x REAL, y REAL, width REAL, height REAL, score REAL"
        try:
            self._db.executescript(f"PRAGMA journal_mode=OFF; CREATE TABLE found ({columns}); BEGIN")
            self._db.executemany("INSERT INTO found VALUES (?, ?, ?, ?, ?, ?, ?)", self._rows())
            self._db.execute("CREATE INDEX by_image ON found (image)")
        except sqlite3.Error as error:
            remedy = "make room in the temporary folder, or name another one in SQLITE_TMPDIR"
            raise DataError(f"{path}: the detections cannot be sorted on disk ({error}); {remedy}") from error
        self.detections, self.strangers = self._count("1"), self._count("class IS NULL")
        self._check_images()

    def __getitem__(self, image_id: str) -> Found:
        """The detections in an image, in the order of the file, which decides between equal scores."""
        query = (
            "SELECT x, y, width, height, class, score FROM found WHERE image = ? AND class IS NOT NULL ORDER BY rowid"
        )
        rows = np.array(self._db.execute(query, (image_id,)).fetchall(), float).reshape(-1, 6)
        best_first = rows[np.argsort(-rows[:, 5], kind="stable")]
        return Found(best_first[:, :4], best_first[:, 4].astype(np.int32), best_first[:, 5])

    def _rows(self) -> Iterator[tuple[str | int | float | None, ...]]:
        """The rows of all entries; raises DataError after the last when some are no detections."""
        bad, first = 0, ""
        for position, entry in enumerate(read_list(self.path, "result file", REMEDY)):
            row = _row(entry)
            if row:
                image_id, category_id, numbers = row
                yield image_id, self._classes.get(category_id), *numbers
            else:
                bad, first = bad + 1, first or f"the first, at place {position}, is {reprlib.repr(entry)}"
        if bad:
            raise DataError(f"{self.path}: {bad} of {position + 1} entries are no detections ({first}); {REMEDY}")

    def _count(self, condition: str) -> int:
        [(number,)] = self._db.execute(f"SELECT count(*) FROM found WHERE {condition}")
        return int(number)

    def _check_images(self) -> None:
        """Raises DataError when an image is not among those of the groundtruth."""
        listed = self._db.execute("SELECT DISTINCT image FROM found")
        unknown = [image_id for (image_id,) in listed if image_id not in self._groundtruth]
        if unknown:
            raise DataError(
                f"{self.path}: {len(unknown)} of its images, as id {printable(unknown[0])}, are not listed in the"
                " annotation file; give the annotations of the images that were detected in"
            )


def results_images(results: Mapping[str, CocoResults], groundtruth: CocoGroundtruth) -> Iterator[ScoredImage]:
    """Every image of the groundtruth, with or without detections, by the name of each result file."""
    for image_id in groundtruth:
        found = {name: detections[image_id] for name, detections in results.items()}
        yield ScoredImage(image_id, *groundtruth.size(image_id), groundtruth[image_id], found)


def write_results(path: str | Path, images: Iterable[ScoredImage], contender: str, label_map: LabelMap) -> int:
    """Writes what one contender found as a result file, which appears complete or not at all.

    Category ids are the original ones of the label map. Boxes are rounded to thousandths of a pixel; scores are as
    exact as they are computed.

    Returns:
      How many detections there are.

    Raises:
      DataError: the id of an image is no whole number, as COCO's are.
    """
    count = 0
    with atomic_file(path) as aside, aside.open("w", encoding="utf-8") as file:
        file.write("[")
        for image in images:
            for entry in _entries(image, contender, label_map):
                file.write(f"{',' if count else ''}\n{json.dumps(entry)}")
                count += 1
        file.write("\n]\n")
    return count


def write_submission(
    folder: str | Path, name: str, images: Iterable[ScoredImage], contender: str, label_map: LabelMap
) -> tuple[Path, int]:
    """Writes what COCO's server takes of test-dev2017 into a folder, and how many detections it holds.

    `detections_test-dev2017_NAME_results.json`, and the .zip of it that is to be uploaded, whose path is returned.
    Raises as `write_results`.
    """
    path = Path(folder) / f"detections_test-dev2017_{name}_results.json"
    count = write_results(path, images, contender, label_map)
    packed = path.with_suffix(".zip")
    with atomic_file(packed) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    return packed, count


def _entries(image: ScoredImage, contender: str, label_map: LabelMap) -> Iterator[dict[str, Any]]:
    """COCO's entries of the detections in an image."""
    image_id = whole_number(image.image_id)
    if image_id is None:
        raise DataError(
            f"image {printable(image.image_id)}: its id is no whole number, as a COCO result file needs; make the"
            " examples from a COCO annotation file"
        )
    return coco_entries(image_id, image.found[contender], label_map)


def coco_entries(image_id: int | str, found: Found, label_map: LabelMap) -> Iterator[dict[str, Any]]:
    """The detections in an image as a result file has them; see `write_results` for ids and numbers."""
    for box, class_id, score in zip(*found, strict=True):
        yield {
            "image_id": image_id,
            "category_id": label_map[int(class_id)].category_id,
            "bbox": [round(float(side), 3) for side in box],
            "score": float(str(np.float32(score))),
        }


def _row(entry: Any) -> tuple[str, int, list[float]] | None:
    """Image id, category id, and the box with the score behind it; None when an entry is no detection."""
    fields = entry if isinstance(entry, Mapping) else {}
    image_id, category_id = text_id(fields.get("image_id")), whole_number(fields.get("category_id"))
    box, score = finite_numbers(fields.get("bbox")), finite_numbers([fields.get("score")])
    if not image_id or category_id is None or not box or len(box) != 4 or not score:
        return None
    return image_id, category_id, box + score
