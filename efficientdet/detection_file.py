"""Detections as files of other programs: JSON, JSON lines, COCO results and CSV, written as they come.

Each appears complete or not at all, and takes the same memory however many pictures there are.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from efficientdet.atomic_file import atomic_file
from efficientdet.boxes import yxyx_to_xywh
from efficientdet.coco_image_ids import ImageIds
from efficientdet.coco_results import coco_entries
from efficientdet.detections import Found, image_records
from efficientdet.frame import BrokenFrame, Frame
from efficientdet.label_map import LabelMap
from efficientdet.scored_image import Found as ScoredFound

STDOUT = "-"
SPILL_BYTES = 1 << 20
"""Of broken pictures' names; more wait on disk for their place behind the detections."""
COLUMNS = ("file", "frame", "seconds", "class", "category_id", "score", "ymin", "xmin", "ymax", "xmax")


class DetectionFile(ABC):
    """Base of all formats: a context manager; with the path `-` it writes to standard output at once."""

    def __init__(self, path: str | Path, label_map: LabelMap) -> None:
        self.path, self._label_map = Path(path), label_map
        self._closing = ExitStack()

    @abstractmethod
    def write(self, frame: Frame, found: Found) -> None:
        """Adds a picture and what was found in it."""

    def skip(self, broken: BrokenFrame) -> None:  # noqa: B027 only some formats have the place
        """Notes a picture that cannot be read, where the format has a place for that."""

    def begin(self) -> None:  # noqa: B027
        """Writes what stands before the first picture."""

    def end(self) -> None:  # noqa: B027
        """Writes what stands behind the last picture."""

    def __enter__(self) -> Self:
        if str(self.path) == STDOUT:
            self._file: IO[str] = sys.stdout
        else:
            aside = self._closing.enter_context(atomic_file(self.path))
            self._file = self._closing.enter_context(aside.open("w", encoding="utf-8", newline=""))
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._closing.__exit__(kind, error, trace)
            return
        with self._closing:
            self.end()
            self._file.flush()


class JsonFile(DetectionFile):
    """One object: `facts`, then `images`, a record each, then `unreadable`, a name and a reason each."""

    def __init__(self, path: str | Path, label_map: LabelMap, facts: Mapping[str, Any]) -> None:
        super().__init__(path, label_map)
        self._facts, self._images = facts, 0
        self._unreadable = tempfile.SpooledTemporaryFile(SPILL_BYTES, "w+", encoding="utf-8")  # noqa: SIM115 - kept

    def begin(self) -> None:
        self._file.write(_json(self._facts)[:-1] + ', "images": [')

    def write(self, frame: Frame, found: Found) -> None:
        self._file.write(f"{',' if self._images else ''}\n{_json(frame_record(frame, found, self._label_map))}")
        self._images += 1

    def skip(self, broken: BrokenFrame) -> None:
        comma = "," if self._unreadable.tell() else ""
        self._unreadable.write(f"{comma}\n{_json(broken_record(broken))}")

    def end(self) -> None:
        self._file.write('\n], "unreadable": [')
        self._unreadable.seek(0)
        shutil.copyfileobj(self._unreadable, self._file)
        self._unreadable.close()
        self._file.write("\n]}\n")


class JsonLinesFile(DetectionFile):
    """A line for each picture, those that cannot be read included, as they come."""

    def write(self, frame: Frame, found: Found) -> None:
        self._line(frame_record(frame, found, self._label_map))

    def skip(self, broken: BrokenFrame) -> None:
        self._line(broken_record(broken))

    def _line(self, record: Mapping[str, Any]) -> None:
        self._file.write(f"{_json(record)}\n")
        if self._file is sys.stdout:
            self._file.flush()


class CocoFile(DetectionFile):
    """COCO's result file, with each image's `file_name` besides."""

    def __init__(self, path: str | Path, label_map: LabelMap, ids: ImageIds | None = None) -> None:
        """`ids` are those of the images; a video's frames have their numbers, and need none."""
        super().__init__(path, label_map)
        self._ids = ids or ImageIds(())

    _entries = 0

    def begin(self) -> None:
        self._file.write("[")

    def write(self, frame: Frame, found: Found) -> None:
        boxes, scores, classes = found
        scored = ScoredFound(yxyx_to_xywh(boxes.astype(np.float64)), classes, scores.astype(np.float64))
        image_id = self._ids(frame.file, frame.image_id) if frame.number is None else frame.number
        for entry in coco_entries(image_id, scored, self._label_map):
            named = {**entry, "file_name": frame.file}
            self._file.write(f"{',' if self._entries else ''}\n{_json(named)}")
            self._entries += 1

    def end(self) -> None:
        self._file.write("\n]\n")


class CsvFile(DetectionFile):
    """A row of COLUMNS for each detection, corners in pixels; a picture without any has no row."""

    def begin(self) -> None:
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def write(self, frame: Frame, found: Found) -> None:
        for record in image_records(found, self._label_map):
            values = {"file": frame.file, "frame": frame.number, "seconds": frame.seconds, **record, **_box(record)}
            self._rows.writerow(["" if values[name] is None else values[name] for name in COLUMNS])


def frame_record(frame: Frame, found: Found, label_map: LabelMap) -> dict[str, Any]:
    """The JSON-ready record of a picture: its names, its size in pixels and its detections."""
    height, width = frame.size
    turned = {"orientation": frame.orientation} if frame.orientation != 1 else {}
    size = {"height": height, "width": width}
    return {**_names(frame), **size, **turned, "detections": image_records(found, label_map)}


def broken_record(broken: BrokenFrame) -> dict[str, Any]:
    """The JSON-ready record of a picture that cannot be read."""
    return {**_names(broken), "reason": broken.reason}


def _names(frame: Frame | BrokenFrame) -> dict[str, Any]:
    of_video = {} if frame.number is None else {"frame": frame.number, "seconds": frame.seconds}
    of_example = {} if frame.image_id is None else {"image_id": frame.image_id}
    return {"file": frame.file, **of_video, **of_example}


def _box(record: Mapping[str, Any]) -> dict[str, float]:
    return dict(record["box"])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
