"""COCO's three lists, sorted on disk: which annotations belong to which image, for files larger than the memory."""

from __future__ import annotations

import pickle
import posixpath
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
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
_IMAGES = """SELECT images.rowid, file, position, id, image, height, width, grouped, usable.row IS NOT NULL
    FROM images LEFT JOIN usable ON usable.row = images.rowid"""
_FIELDS = ("id", "category_id", "bbox", "area", "iscrowd", "difficult")
_WHOLE = re.compile(r"-?[0-9]{1,1000}")
REMEDY = "give a COCO instances file, as in annotations/instances_train2017.json"


class ImageRow(NamedTuple):
    """An entry of `images`.

    row: its place among all. file: number of its file. position: place in the file's list. id: as text. image: the
    `file_name`, empty when it has none. height, width: pixels; 0 when not given, -1 for no whole number. group: the
    field that was asked for. usable: whether id, name and size are sound, and no other image had the id before.
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
        self._masks, self._group_by = masks, group_by
        # An empty name is a private file in the temporary folder, nameless from the start, so that it goes with the
        # process however that ends; while it is small it is in memory only.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            self._db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _TABLES + "BEGIN")
            for number, name in enumerate(self.paths):
                self._read(number, name)
            for path in captions:
                found = (_caption(value) for _, value in read_lists(path, ["annotations"]))
                self._db.executemany("INSERT INTO captions VALUES (?, ?)", (pair for pair in found if pair))
            self._db.executescript(_INDEXES)
        except sqlite3.Error as error:
            shown = ", ".join(self.paths)
            remedy = "make room in the temporary folder, or name another one in SQLITE_TMPDIR"
            raise DataError(f"{shown}: the annotations cannot be sorted on disk ({error}); {remedy}") from error

    def _read(self, number: int, path: str) -> None:
        """Enters one file."""
        seen = set()
        before = self.images
        for key, value in read_lists(path, ["images", "annotations"]):
            if value is None:
                seen.add(key)
            elif key == "images":
                self._enter_image(number, self.images - before, value)
            else:
                self._enter_annotation(number, value)
        if "images" not in seen:
            raise DataError(f"{path}: the annotation file has no list of images; {REMEDY}")
        if self.images == before:
            raise DataError(f"{path}: the annotation file lists no images at all; {REMEDY}")

    def _enter_image(self, number: int, position: int, value: Any) -> None:
        fields = value if isinstance(value, Mapping) else {}
        image = fields.get("file_name")
        image = image if isinstance(image, str) else ""
        row = (
            number,
            position,
            text_id(fields.get("id")),
            _to_blob(image),
            _to_blob(posixpath.normpath(image)) if image else None,
            _length(fields.get("height")),
            _length(fields.get("width")),
            text_id(fields.get(self._group_by)) if self._group_by else "",
        )
        self._db.execute("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self.images += 1

    def _enter_annotation(self, number: int, value: Any) -> None:
        fields = value if isinstance(value, Mapping) else {}
        if "caption" in fields and "bbox" not in fields:
            if pair := _caption(fields):
                self._db.execute("INSERT INTO captions VALUES (?, ?)", pair)
            return
        kept = {key: fields[key] for key in _FIELDS if key in fields}
        if self._masks and "segmentation" in fields:
            kept["segmentation"] = fields["segmentation"]
        row = (number, text_id(fields.get("image_id")), self.boxes, pickle.dumps(kept))
        self._db.execute("INSERT INTO boxes VALUES (?, ?, ?, ?)", row)
        self.boxes += 1

    def rows(self) -> Iterator[ImageRow]:
        """The entries of `images`, in their order."""
        return self._images("ORDER BY images.rowid")

    def same_file(self, row: ImageRow) -> Iterator[ImageRow]:
        """The usable entries that name the file of one, itself included, in their order."""
        return self._images("WHERE usable.name = (SELECT name FROM usable WHERE row = ?) ORDER BY usable.row", row.row)

    def annotations(self, row: ImageRow) -> Iterator[tuple[int, Any]]:
        """The annotations of the image id, from the file of `row`: place in the list, and the fields that we use.

        Of entries with one id in one file only one has them: the first that names an image, or else the first.
        """
        query = "SELECT rowid FROM images WHERE file = ? AND id = ? ORDER BY name IS NULL, rowid LIMIT 1"
        if not row.id or self._db.execute(query, (row.file, row.id)).fetchone() != (row.row,):
            return
        query = "SELECT position, entry FROM boxes WHERE file = ? AND image_id = ? ORDER BY rowid"
        for position, entry in self._db.execute(query, (row.file, row.id)):
            yield position, pickle.loads(entry)

    def captions(self, row: ImageRow) -> tuple[str, ...]:
        """What was said about the image, the first hundred sentences."""
        query = "SELECT caption FROM captions WHERE image_id = ? ORDER BY rowid LIMIT ?"
        return tuple(caption for (caption,) in self._db.execute(query, (row.id, MOST_CAPTIONS)))

    def strays(self) -> Iterator[tuple[str, str, int, Any]]:
        """The annotations without an image of theirs in the file: file, image id, place, fields."""
        query = """SELECT file, image_id, position, entry FROM boxes WHERE image_id = '' OR NOT EXISTS
            (SELECT 1 FROM images WHERE images.file = boxes.file AND images.id = boxes.image_id) ORDER BY boxes.rowid"""
        for number, image_id, position, entry in self._db.execute(query):
            yield self.paths[number], image_id, position, pickle.loads(entry)

    def _images(self, which: str, *values: object) -> Iterator[ImageRow]:
        for found in self._db.execute(f"{_IMAGES} {which}", values):
            row = ImageRow(*found)
            yield row._replace(image=found[4].decode("utf-8", "surrogatepass"), usable=bool(row.usable))


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
    return text.encode("utf-8", "backslashreplace").decode()


def _to_blob(name: str) -> bytes:
    """The name of a file, which need not be Unicode."""
    return name.encode("utf-8", "surrogatepass")
