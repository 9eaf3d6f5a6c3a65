"""A clean copy of a COCO file, read and written entry by entry."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from efficientdet.boxes import clip, xywh_to_yxyx, yxyx_to_xywh
from efficientdet.check.record_names import AGAIN, plain_name
from efficientdet.check.spill import Spill, storable
from efficientdet.check.split import Split
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.coco_index import text_id
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.json_stream import read_lists, read_rest
from efficientdet.data.ledger import Finding

LISTS = ("images", "annotations")
_TABLES = """
CREATE TABLE IF NOT EXISTS kept (split TEXT, id TEXT, name TEXT, record TEXT, height INTEGER, width INTEGER);
CREATE INDEX IF NOT EXISTS kept_id ON kept (split, id);
CREATE INDEX IF NOT EXISTS kept_name ON kept (split, name);
CREATE TABLE IF NOT EXISTS fates (split TEXT, record TEXT, fate TEXT, PRIMARY KEY (split, record)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (split TEXT, id TEXT, kept INTEGER, given TEXT, PRIMARY KEY (split, id));
"""


class _Kept(NamedTuple):
    """An image that can be used: its row, its record, the size of its file, and its id as JSON."""

    row: int
    record: str
    height: int
    width: int
    given: str = "null"


class CocoFix:
    """Writes the clean form of one COCO file.

    Left out are images and annotations that training would leave out; boxes are cut at the border, the annotations of
    merged images go to the image that remains, ids that are missing or repeated are given anew, and height, width,
    area and iscrowd are filled in. All other fields and lists stay as they are.
    """

    def __init__(self, split: Split, folder: Path, spill: Spill) -> None:
        self._split, self._target, self._spill = split, folder / Path(split.source).name, spill
        for statement in _TABLES.strip().split(";\n"):
            spill.db.execute(statement)

    def image(self, annotation: ImageAnnotation, image: AnnotatedImage | None, findings: Sequence[Finding]) -> None:
        """Takes note of an image, as `admit` judged it."""
        if image is None:
            return
        names = map(storable, (annotation.source_id, plain_name(annotation.image), annotation.record))
        row = (self._split.name, *names, image.height, image.width)
        self._spill.db.execute("INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?)", row)
        for finding in findings:
            self.finding(finding)

    def finding(self, finding: Finding) -> None:
        """Takes note of a record that does not stay as it is."""
        if finding.outcome != "noted":
            row = (self._split.name, storable(finding.record), finding.outcome)
            self._spill.db.execute("INSERT OR REPLACE INTO fates VALUES (?, ?, ?)", row)

    def finish(self) -> None:
        """Writes the file."""
        source = self._split.source
        with self._target.open("w", encoding="utf-8") as file:
            file.write("{")
            for key, value in read_rest(source, LISTS):
                file.write(f"{json.dumps(key)}: {json.dumps(value, default=_unreadable)},\n")
            for key, entries in (("images", self._images()), ("annotations", self._annotations())):
                file.write(f'"{key}": ')
                _write_list(file, entries)
                file.write(",\n" if key == "images" else "}\n")

    def _images(self) -> Iterator[dict[str, Any]]:
        """The entries of images that are kept; notes to which of them the annotations of each id go."""
        name = f"written of {self._split.name}"
        for entry in _entries(self._split.source, "images"):
            image_id, file_name = text_id(entry.get("id")), str(entry.get("file_name"))
            found = self._kept("id", image_id, plain_name(file_name))
            if found and self._spill.count(name, str(found.row)) == 1:
                self._own(image_id, found, json.dumps(entry["id"]))
                sides = {"height": found.height, "width": found.width}
                yield entry | {side: pixels for side, pixels in sides.items() if entry.get(side) != pixels}
            elif self._fate(f"image {image_id} ({file_name})") == "merged":
                self._bequeath(image_id, plain_name(file_name))

    def _annotations(self) -> Iterator[dict[str, Any]]:
        """The entries of annotations that are kept, with the id of the image that has them."""
        numbers = (entry.get("id") for entry in _entries(self._split.source, "annotations"))
        free = max((number for number in numbers if isinstance(number, int)), default=0) + 1
        position = -1
        for entry in _entries(self._split.source, "annotations"):
            caption = "caption" in entry and "bbox" not in entry
            position += not caption
            owner = self._owner(text_id(entry.get("image_id")))
            if owner is None:
                continue
            if caption:
                yield entry
                continue
            given = f"annotation {entry['id']}" if "id" in entry else f"annotations[{position}]"
            record = f"{owner.record}, {given}"
            record += AGAIN * (self._spill.count(f"clean of {self._split.name}", record) - 1)
            fate = self._fate(record)
            if fate not in ("dropped", "merged"):
                clean = _clean(entry, owner, fate == "clipped")
                if "id" not in entry or self._spill.count(f"ids of {self._split.name}", given) > 1:
                    clean["id"], free = free, free + 1
                yield clean

    def _fate(self, record: str) -> str | None:
        query = "SELECT fate FROM fates WHERE split = ? AND record = ?"
        found = self._spill.db.execute(query, (self._split.name, storable(record))).fetchone()
        return found[0] if found else None

    def _kept(self, column: str, value: str, name: str | None = None) -> _Kept | None:
        query = f"SELECT rowid, record, height, width FROM kept WHERE split = ? AND {column} = ?"
        values = [self._split.name, storable(value)]
        if name is not None:
            query, values = f"{query} AND name = ?", [*values, storable(name)]
        found = self._spill.db.execute(f"{query} ORDER BY rowid", values).fetchone()
        return _Kept(*found) if found else None

    def _bequeath(self, image_id: str, name: str) -> None:
        """Gives the annotations of a merged image to the one that names the same file, if that can be used."""
        if heir := self._kept("name", name):
            query = "SELECT given FROM owners WHERE split = ? AND kept = ?"
            (given,) = self._spill.db.execute(query, (self._split.name, heir.row)).fetchone()
            self._own(image_id, heir, given)

    def _own(self, image_id: str, image: _Kept, given: str) -> None:
        values = (self._split.name, image_id, image.row, given)
        self._spill.db.execute("INSERT OR IGNORE INTO owners VALUES (?, ?, ?, ?)", values)

    def _owner(self, image_id: str) -> _Kept | None:
        query = (
            "SELECT kept.rowid, record, height, width, given FROM owners JOIN kept ON kept.rowid = owners.kept"
            " WHERE owners.split = ? AND owners.id = ?"
        )
        found = self._spill.db.execute(query, (self._split.name, image_id)).fetchone()
        return _Kept(*found) if found else None


def _clean(entry: Mapping[str, Any], image: _Kept, clipped: bool) -> dict[str, Any]:
    """A sound annotation with all that tools expect."""
    clean = {**entry, "image_id": json.loads(image.given)}
    box = xywh_to_yxyx(entry["bbox"])
    if clipped:
        box = clip(box, image.height, image.width)
        clean["bbox"] = yxyx_to_xywh(box)[0].tolist()
    size = float((box[0, 2:] - box[0, :2]).prod())
    given = entry.get("area")
    if not isinstance(given, int | float) or not math.isfinite(given) or given <= 0 or (clipped and given > size):
        clean["area"] = size
    clean.setdefault("iscrowd", 0)
    return clean


def _entries(source: str, key: str) -> Iterator[dict[str, Any]]:
    """The entries of a list; an empty one for what is no object."""
    for _, value in read_lists(source, [key]):
        if value is not None:
            yield value if isinstance(value, dict) else {}


def _write_list(file: TextIO, entries: Iterable[Mapping[str, Any]]) -> None:
    file.write("[")
    for number, entry in enumerate(entries):
        file.write(("," if number else "") + "\n" + json.dumps(entry, default=_unreadable))
    file.write("\n]")


def _unreadable(value: object) -> None:
    """What the reader cannot hold becomes null."""
