"""The groundtruth of a COCO instances file, as pycocotools takes it: image by image, every number as it stands."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from efficientdet.data.coco import coco_label_map
from efficientdet.data.coco_index import CocoIndex, ImageRow, text_id, whole_number
from efficientdet.errors import DataError, printable
from efficientdet.overlaps import Groundtruth


class CocoGroundtruth:
    """A mapping of image ids, as text, to what is to be found in the image.

    Iterating gives the ids in the order of the file, each once. Annotations of a category or an image that the file
    does not list are left out, as pycocotools does; an `area` that is missing is that of the box.

    label_map: the file's categories.
    """

    def __init__(self, path: str | Path) -> None:
        """Reads the file; raises DataError when it is no COCO instances file."""
        self._path = path
        self.label_map = coco_label_map([path])
        self._classes = {label.category_id: label.id for label in self.label_map}
        self._index = CocoIndex([path])
        self._rows: dict[str, ImageRow] = {}
        for row in self._index.rows():
            known = self._rows.get(row.id)
            # Of entries with one id it is this one that the index gives the annotations to.
            if row.id and (known is None or (row.image and not known.image)):
                self._rows[row.id] = row

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def __getitem__(self, image_id: str) -> Groundtruth:
        """KeyError for an image that is not listed; DataError when an annotation has no box of four finite numbers."""
        found = [self._annotation(*entry) for entry in self._index.annotations(self._rows[image_id])]
        rows = np.array([row for row in found if row], float).reshape(-1, 8)
        classes, is_crowd, area, difficult = rows[:, 4:].T
        return Groundtruth(rows[:, :4], classes.astype(np.int32), is_crowd > 0, area, difficult > 0)

    def size(self, image_id: str) -> tuple[int, int]:
        """Height and width in pixels; 0 where the file does not say."""
        height, width = self._rows[image_id].size
        return max(height, 0), max(width, 0)

    def _annotation(self, position: int, fields: dict[str, Any]) -> list[float]:
        """Box, class, crowd, area and difficult; empty for another category."""
        category = whole_number(fields.get("category_id"))
        if category not in self._classes:
            return []
        box, area = finite_numbers(fields.get("bbox")), finite_numbers([fields.get("area")])
        if box is None or len(box) != 4:
            number = printable(text_id(fields.get("id"))) or f"at place {position}"
            raise DataError(
                f"{self._path}: annotation {number} has no box of four finite numbers"
                f" (bbox {reprlib.repr(fields.get('bbox'))}); correct it, or check the file with `efficientdet check`"
            )
        crowd, difficult = (fields.get(name, 0) in (1, "1", True) for name in ("iscrowd", "difficult"))
        return [*box, self._classes[category], crowd, area[0] if area else box[2] * box[3], difficult]


def finite_numbers(values: object) -> list[float] | None:
    """The numbers of a list as floats; None when one is none, not finite, or no list is given."""
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        return None
    try:
        numbers = [float(value) for value in values]
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
