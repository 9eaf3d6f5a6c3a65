"""COCO's three lists, sorted on disk: which annotations belong to which image, for files larger than the memory."""

from __future__ import annotations

import marshal
import posixpath
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from efficientdet.data.json_stream import read_lists
from efficientdet.errors import DataError

MOST_CAPTIONS, LONGEST_CAPTION = 100, 10_000
"""Of one image, and characters; COCO has five, of 250 at most."""

_TABLES = """
CREATE TABLE images (
    file INTEGER, position INTEGER, id TEXT, image BLOB, name BLOB, height INTEGER, width INTEGER, grouped TEXT);
CREATE TABLE boxes (file INTEGER, image_id TEXT, position INTEGER, entry BLOB);
CREATE TABLE captions (image_id TEXT, caption TEXT);
"""
# Made when the tables are full, which is much the faster way. Each question below is answered by an index alone, so
# that no number of equal ids or names makes it slow.
_INDEXES = """
CREATE INDEX named_id ON images (id) WHERE name IS NOT NULL;
CREATE INDEX file_id ON images (file, id, name IS NULL);
CREATE INDEX box_image ON boxes (file, image_id);
CREATE INDEX caption_image ON captions (image_id);
CREATE TABLE usable (row INTEGER PRIMARY KEY, name BLOB);
INSERT INTO usable SELECT rowid, name FROM images
    WHERE id != '' AND name IS NOT NULL AND height >= 0 AND width >= 0 AND name = (
        SELECT name FROM images AS first WHERE first.id = images.id AND first.name IS NOT NULL
        ORDER BY first.rowid LIMIT 1);
CREATE INDEX usable_name ON usable (name);
"""
_IMAGES = """SELECT images.rowid, file, position, id, image, height, width, grouped, usable.row IS NOT NULL,
    EXISTS (SELECT 1 FROM usable AS other WHERE other.name = usable.name AND other.row != usable.row),
    id != '' AND images.rowid = (SELECT rowid FROM images AS same WHERE same.file = images.file AND same.id = images.id
        ORDER BY same.name IS NULL, rowid LIMIT 1)
    FROM images LEFT JOIN usable ON usable.row = images.rowid"""
_FIELDS = ("id", "category_id", "bbox", "area", "iscrowd", "difficult")
_WHOLE = re.compile(r"-?[0-9]{1,1000}")
REMEDY = "give a COCO instances file, as in annotations/instances_train2017.json"


class ImageRow(NamedTuple):
    """An entry of `images`.

    row: its place among all. file: number of its file. position: place in the file's list. id: as text. image: the
    `file_name`, empty when it has none. height, width: pixels; 0 when not given, -1 for no whole number. group: the
    field that was asked for. usable: whether id, name and size are sound, and no other image had the id before.
    shared: whether another usable entry names the same file. owner: whether the annotations of the id in its file are
    its own: of entries with one id it is the first that names an image, or else the first.
    """

    row: int
    file: int
    position: int
    id: str
    image: str
    height: int
    width: int
    group: str
    usable: bool
    shared: bool
    owner: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class CocoIndex:
    """The images and annotations of some COCO files, each read once.

    images, boxes: how many entries the lists have, counted while reading.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        captions: Iterable[str | Path] = (),
        masks: bool = False,
        group_by: str | None = None,
    ) -> None:
        """
        Args:
          paths: instances files.
          captions: captions files about the same images.
          masks: keeps the segmentations.
          group_by: the field of images to keep as their group.

        Raises DataError for a file without a list of images, or one of no use at all.
        """
        self.paths = [str(path) for path in paths]
        self.images = self.boxes = 0
        self._captioned, self._group_by = False, group_by
        self._fields = (*_FIELDS, "segmentation") if masks else _FIELDS
        # An empty name is a private file in the temporary folder, nameless from the start, so that it goes with the
        # process however that ends; while it is small it is in memory only.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            self._db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _TABLES + "BEGIN")
            for number, name in enumerate(self.paths):
                self._read(number, name)
            for path in captions:
                found = (_caption(value) for _, value in read_lists(path, ["annotations"]))
                self._add_captions(pair for pair in found if pair)
            self._db.executescript(_INDEXES)
        except sqlite3.Error as error:
            shown = ", ".join(self.paths)
            remedy = "make room in the temporary folder, or name another one in SQLITE_TMPDIR"
            raise DataError(f"{shown}: the annotations cannot be sorted on disk ({error}); {remedy}") from error

    def _read(self, number: int, path: str) -> None:
        """Enters one file."""
        seen = set()
        before = self.images
        for key, values in groupby(read_lists(path, ["images", "annotations"]), itemgetter(0)):
            seen.add(key)
            elements = (value for _, value in values if value is not None)
            if key == "images":
                rows = self._image_rows(number, self.images - before, elements)
                self._db.executemany("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            else:
                self._db.executemany("INSERT INTO boxes VALUES (?, ?, ?, ?)", self._box_rows(number, elements))
        if "images" not in seen:
            raise DataError(f"{path}: the annotation file has no list of images; {REMEDY}")
        if self.images == before:
            raise DataError(f"{path}: the annotation file lists no images at all; {REMEDY}")

    def _image_rows(self, number: int, start: int, elements: Iterable[Any]) -> Iterator[tuple[object, ...]]:
        for position, value in enumerate(elements, start):
            fields = value if isinstance(value, dict) else {}
            image = fields.get("file_name")
            image = image if isinstance(image, str) else ""
            self.images += 1
            yield (
                number,
                position,
                text_id(fields.get("id")),
                _to_blob(image),
                _to_blob(posixpath.normpath(image)) if image else None,
                _length(fields.get("height")),
                _length(fields.get("width")),
                text_id(fields.get(self._group_by)) if self._group_by else "",
            )

    def _box_rows(self, number: int, elements: Iterable[Any]) -> Iterator[tuple[object, ...]]:
        for value in elements:
            fields = value if isinstance(value, dict) else {}
            if "caption" in fields and "bbox" not in fields:
                if pair := _caption(fields):
                    self._add_captions([pair])
                continue
            # marshal is the fastest there is for plain values, and all that it is read by is this process.
            kept = marshal.dumps({key: fields[key] for key in self._fields if key in fields})
            yield number, text_id(fields.get("image_id")), self.boxes, kept
            self.boxes += 1

    def _add_captions(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._captioned = True
        self._db.executemany("INSERT INTO captions VALUES (?, ?)", pairs)

    def rows(self) -> Iterator[ImageRow]:
        """The entries of `images`, in their order."""
        return self._images("ORDER BY images.rowid")

    def same_file(self, row: ImageRow) -> Iterator[ImageRow]:
        """The usable entries that name the file of one, itself included, in their order."""
        return self._images("WHERE usable.name = (SELECT name FROM usable WHERE row = ?) ORDER BY usable.row", row.row)

    def annotations(self, row: ImageRow) -> Iterator[tuple[int, Any]]:
        """The annotations that are the image's own: place in the list, and the fields that we use."""
        if row.owner:
            query = "SELECT position, entry FROM boxes WHERE file = ? AND image_id = ? ORDER BY rowid"
            for position, entry in self._db.execute(query, (row.file, row.id)):
                yield position, marshal.loads(entry)

    def captions(self, row: ImageRow) -> tuple[str, ...]:
        """What was said about the image, the first hundred sentences."""
        if not self._captioned:
            return ()
        query = "SELECT caption FROM captions WHERE image_id = ? ORDER BY rowid LIMIT ?"
        return tuple(caption for (caption,) in self._db.execute(query, (row.id, MOST_CAPTIONS)))

    def strays(self) -> Iterator[tuple[str, str, int, Any]]:
        """The annotations without an image of theirs in the file: file, image id, place, fields."""
        query = """SELECT file, image_id, position, entry FROM boxes WHERE image_id = '' OR NOT EXISTS
            (SELECT 1 FROM images WHERE images.file = boxes.file AND images.id = boxes.image_id) ORDER BY boxes.rowid"""
        for number, image_id, position, entry in self._db.execute(query):
            yield (
                self.paths[number],
                image_id,
                position,
                marshal.loads(entry),
            )

    def _images(self, which: str, *values: object) -> Iterator[ImageRow]:
        for found in self._db.execute(f"{_IMAGES} {which}", values):
            row = ImageRow(*found)
            yield row._replace(image=found[4].decode("utf-8", "surrogatepass"))


def text_id(value: object) -> str:
    """An id as text, `7` for 7, 7.0 and "7"; empty when it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _storable(str(value)) if isinstance(value, str) or type(value) is int else ""


def whole_number(value: object) -> int | None:
    """The number for 7, 7.0 and "7", None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    return value if type(value) is int else None


def _length(value: object) -> int:
    """A side in pixels; 0 when it is not given, -1 for what is no whole number that an image can have."""
    number = 0 if value is None else whole_number(value)
    return -1 if number is None or not 0 <= number < 1 << 31 else number


def _caption(value: Any) -> tuple[str, str] | None:
    """Image id and sentence of a captions entry; None for one that has none."""
    fields = value if isinstance(value, Mapping) else {}
    caption, image_id = fields.get("caption"), text_id(fields.get("image_id"))
    return (image_id, _storable(caption[:LONGEST_CAPTION])) if isinstance(caption, str) and image_id else None


def _storable(text: str) -> str:
    """Text that can be encoded: what is no Unicode stands there as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _to_blob(name: str) -> bytes:
    """The name of a file, which need not be Unicode."""
    return name.encode("utf-8", "surrogatepass")
