"""COCO's three lists, sorted on disk: which annotations belong to which image, for files larger than the memory."""

from __future__ import annotations

import pickle
import posixpath
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from efficientdet.data.json_stream import read_lists
from efficientdet.errors import DataError

_TABLES = """
CREATE TABLE images (file INTEGER, id TEXT, name TEXT, entry BLOB);
CREATE TABLE boxes (file INTEGER, image_id TEXT, position INTEGER, entry BLOB);
CREATE TABLE captions (image_id TEXT, caption TEXT);
"""
# Made when the tables are full, which is much the faster way.
_INDEXES = """
CREATE INDEX image_id ON images (id);
CREATE INDEX image_name ON images (name);
CREATE INDEX box_image ON boxes (file, image_id);
CREATE INDEX caption_image ON captions (image_id);
"""


class ImageRow(NamedTuple):
    """An entry of `images`: its place among all, its file's number, its id as text, its file name in plain form."""

    row: int
    file: int
    id: str
    name: str
    entry: Any


class CocoIndex:
    """The images and annotations of some COCO files, each read once.

    images, boxes: how many entries the lists have, counted while reading.
    """

    def __init__(self, paths: Iterable[str | Path], captions: Iterable[str | Path] = (), masks: bool = False) -> None:
        """
        Args:
          paths: instances files.
          captions: captions files about the same images.
          masks: keeps the segmentations.

        Raises DataError for a file without a list of images, or one of no use at all.
        """
        self.paths = [str(path) for path in paths]
        self.images = self.boxes = 0
        # An empty name is a private file in the temporary folder, kept in memory while it is small.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _TABLES + "BEGIN")
        for number, name in enumerate(self.paths):
            self._read(number, name, masks)
        for path in captions:
            rows = ((key, value) for key, value in read_lists(path, ["annotations"]) if value is not None)
            found = (_caption(value) for _, value in rows)
            self._db.executemany("INSERT INTO captions VALUES (?, ?)", (pair for pair in found if pair))
        self._db.executescript(_INDEXES)

    def _read(self, number: int, path: str, masks: bool) -> None:
        """Enters one file."""
        seen = set()
        before = self.images
        for key, value in read_lists(path, ["images", "annotations"]):
            if value is None:
                seen.add(key)
            elif key == "images":
                self.images += 1
                self._enter_image(number, value)
            else:
                self._enter_annotation(number, value, masks)
        if "images" not in seen:
            raise DataError(f"{path}: the annotation file has no list of images; {_REMEDY}")
        if self.images == before:
            raise DataError(f"{path}: the annotation file lists no images at all; {_REMEDY}")

    def _enter_image(self, number: int, value: Any) -> None:
        entry = value if isinstance(value, Mapping) else {}
        name = entry.get("file_name")
        plain = posixpath.normpath(name) if isinstance(name, str) and name else ""
        row = (number, text_id(entry.get("id")), _storable(plain), pickle.dumps(entry))
        self._db.execute("INSERT INTO images VALUES (?, ?, ?, ?)", row)

    def _enter_annotation(self, number: int, value: Any, masks: bool) -> None:
        fields = value if isinstance(value, Mapping) else {}
        image_id = text_id(fields.get("image_id"))
        if "caption" in fields and "bbox" not in fields:
            if pair := _caption(fields):
                self._db.execute("INSERT INTO captions VALUES (?, ?)", pair)
            return
        kept = {key: fields[key] for key in _FIELDS if key in fields}
        if masks and "segmentation" in fields:
            kept["segmentation"] = fields["segmentation"]
        row = (number, image_id, self.boxes, pickle.dumps(kept))
        self._db.execute("INSERT INTO boxes VALUES (?, ?, ?, ?)", row)
        self.boxes += 1

    def rows(self) -> Iterator[ImageRow]:
        """The entries of `images`, in their order."""
        return self._images("")

    def first_of_id(self, row: ImageRow, same_file: bool = False) -> ImageRow:
        """The first entry with the id of `row` that names a file; of its own annotation file with `same_file`."""
        where = "WHERE id = ? AND name != ''" + (" AND file = ?" if same_file else "")
        values = (row.id, row.file) if same_file else (row.id,)
        return next(self._images(where, *values), row)

    def same_name(self, row: ImageRow) -> Iterator[ImageRow]:
        """The entries that name the same file, `row` itself included, in their order."""
        return self._images("WHERE name = ?", row.name)

    def annotations(self, row: ImageRow) -> Iterator[tuple[int, Any]]:
        """The annotations of the image id, from the file of `row`: place in the list, and the fields that we use."""
        query = "SELECT position, entry FROM boxes WHERE file = ? AND image_id = ? ORDER BY rowid"
        found = self._db.execute(query, (row.file, row.id))
        return ((position, pickle.loads(entry)) for position, entry in found)

    def captions(self, row: ImageRow) -> tuple[str, ...]:
        """What was said about the image."""
        query = "SELECT caption FROM captions WHERE image_id = ? ORDER BY rowid"
        return tuple(caption for (caption,) in self._db.execute(query, (row.id,)))

    def strays(self) -> Iterator[tuple[str, str, int, Any]]:
        """The annotations without an image of theirs in the file: file, image id, place, fields."""
        query = """SELECT file, image_id, position, entry FROM boxes WHERE image_id = '' OR NOT EXISTS
            (SELECT 1 FROM images WHERE images.id = boxes.image_id AND images.file = boxes.file) ORDER BY boxes.rowid"""
        for number, image_id, position, entry in self._db.execute(query):
            yield self.paths[number], image_id, position, pickle.loads(entry)

    def _images(self, where: str, *values: object) -> Iterator[ImageRow]:
        query = f"SELECT rowid, file, id, name, entry FROM images {where} ORDER BY rowid"
        for row, number, image_id, name, entry in self._db.execute(query, values):
            yield ImageRow(row, number, image_id, name, pickle.loads(entry))


_FIELDS = ("id", "category_id", "bbox", "area", "iscrowd")
_REMEDY = "give a COCO instances file, as in annotations/instances_train2017.json"


def text_id(value: object) -> str:
    """An id as text, `7` for 7, 7.0 and "7"; empty when it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _storable(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else ""


def _caption(value: Any) -> tuple[str, str] | None:
    """Image id and sentence of a captions entry; None for one that has none."""
    fields = value if isinstance(value, Mapping) else {}
    caption, image_id = fields.get("caption"), text_id(fields.get("image_id"))
    return (image_id, _storable(caption)) if isinstance(caption, str) and image_id else None


def _storable(text: str) -> str:
    """Text that can be encoded: what is no Unicode stands there as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
