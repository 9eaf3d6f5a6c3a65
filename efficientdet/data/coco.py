"""COCO instances JSON: files with `images`, `annotations` and `categories`."""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from efficientdet.data.annotation import MOST_BOXES, BoxAnnotation, Entry, ImageAnnotation, Read, too_many
from efficientdet.data.coco_index import REMEDY, CocoIndex, ImageRow, text_id, whole_number
from efficientdet.data.json_stream import read_lists
from efficientdet.data.ledger import Finding
from efficientdet.errors import DataError, printable
from efficientdet.label_map import LabelMap

MOST_CLASSES, LONGEST_NAME = 100_000, 1_000
_NUMBERS, _LARGEST = frozenset((int, float)), sys.float_info.max


def coco_label_map(paths: Iterable[str | Path]) -> LabelMap:
    """The classes of all annotation files together, ordered by category id.

    Raises DataError, naming the file, when one is missing, empty, not JSON, without categories, or calls a category
    id differently than another file.
    """
    names: dict[int, str] = {}
    for path in paths:
        categories = read_lists(path, ["categories"])
        if next(categories, None) is None:
            raise DataError(f"{path}: the annotation file has no list of categories; {REMEDY}")
        listed = False
        for _, category in categories:
            if category is None:
                continue
            number, name = _category(category, path)
            if names.setdefault(number, name) != name:
                raise DataError(f"{path}: category {number} is {name!r}, but {names[number]!r} before; use one name")
            if len(names) > MOST_CLASSES:
                raise DataError(f"{path}: the annotation file has more than {MOST_CLASSES} categories; {REMEDY}")
            listed = True
        if not listed:
            raise DataError(f"{path}: the annotation file lists no categories at all; {REMEDY}")
    try:
        return LabelMap.from_categories([{"id": number, "name": name} for number, name in names.items()])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _category(category: Any, path: str | Path) -> tuple[int, str]:
    """Id and name of an entry of `categories`."""
    fields = category if isinstance(category, Mapping) else {}
    number, name = whole_number(fields.get("id")), fields.get("name")
    if number is None or not isinstance(name, str) or not _is_line(name):
        raise DataError(f"{path}: category {reprlib.repr(category)} has no id and name in UTF-8; {REMEDY}")
    return number, name


def _is_line(name: str) -> bool:
    """Whether it is one line that can be written to a file of labels."""
    try:
        return name.splitlines() == [name] and len(name.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:
        return False


def coco_images(path: str | Path) -> Iterator[str]:
    """The file names of a file's `images`; raises DataError for a file of no use."""
    for _, value in read_lists(path, ["images"]):
        name = value.get("file_name") if isinstance(value, Mapping) else None
        if isinstance(name, str) and name:
            yield name


def read_coco(
    paths: Iterable[str | Path],
    captions: Iterable[str | Path] = (),
    masks: bool = False,
    group_by: str | None = None,
) -> Iterator[Entry]:
    """Every image of the annotation files with its objects, in file order.

    Of entries that name the same file the first takes the objects of all. Of images with the same id the first one
    counts, the others come with a `problem`. A Finding stands for an entry that was merged, and for an object whose
    image is not listed. A file without `annotations`, as COCO's image_info of test-dev, is one of images without
    objects.

    Args:
      paths: instances files; their images lie in one folder.
      captions: captions files about the same images.
      masks: whether to keep segmentations.
      group_by: the field of an image's entry that says what it belongs with, as its video.

    Raises DataError for a file that is no COCO instances file.
    """
    index = CocoIndex(paths, captions, masks, group_by)
    for row in index.rows():
        yield from _image(index, row)
    for path, image_id, position, fields in index.strays():
        message = f"belongs to image id {printable(image_id) or 'none'}, which is not listed"
        yield Finding("unknown image id", path, _record(fields, position), message)
    yield Read(index.images, index.boxes)


def _image(index: CocoIndex, row: ImageRow) -> Iterator[ImageAnnotation | Finding]:
    """What becomes of one entry of `images`."""
    file, owners = index.paths[row.file], iter([row])
    record = f"image {printable(row.id)} ({printable(row.image)})" if row.id else f"images[{row.position}]"
    problem = _problem(row)
    if row.shared and not problem:
        first = next(index.same_file(row))
        if first.row == row.row:
            owners = (other for other in index.same_file(row) if other.size == row.size)
        elif first.size == row.size:
            message = f"names the same file as image {printable(first.id)}, which takes its objects"
            yield Finding("same file", file, record, message, "merged", "image")
            return
        else:
            problem = ("two sizes", f"gives another size than image {printable(first.id)}, which names the same file")
    boxes = (_box(fields, position) for owner in owners for position, fields in index.annotations(owner))
    yield ImageAnnotation(
        file,
        record,
        row.id,
        row.image,
        row.height if row.height > 0 else None,
        row.width if row.width > 0 else None,
        list(islice(boxes, MOST_BOXES)),
        problem,
        captions=index.captions(row) if row.id else (),
        group=row.group or None,
    )
    yield from too_many(file, record, boxes)


def _problem(row: ImageRow) -> tuple[str, str] | None:
    """Why an entry of `images` cannot be used."""
    if not row.id or not row.image:
        return "malformed record", "the entry has no id and file_name"
    if min(row.size) < 0:
        return "malformed record", "height and width must be whole numbers"
    if not row.usable:
        return "duplicate image id", f"image id {printable(row.id)} was given to another image before"
    return None


def _box(annotation: Mapping[str, Any], position: int) -> BoxAnnotation:
    """One entry of `annotations`; whether it is sound is decided when its image is known."""
    category, area = annotation.get("category_id"), annotation.get("area", 0)
    corners = None
    bbox_xywh = _numbers(annotation.get("bbox"))
    if bbox_xywh and len(bbox_xywh) == 4:
        x, y, width, height = bbox_xywh
        corners = (y, x, y + height, x + width)
    if type(category) is not int:
        number = whole_number(category)
        category = reprlib.repr(category) if number is None else number
    return BoxAnnotation(
        _record(annotation, position),
        category,
        corners,
        float(area) if type(area) in _NUMBERS and 0 < area <= _LARGEST else None,
        is_crowd=annotation.get("iscrowd", 0) in (1, "1", True),
        segmentation=annotation.get("segmentation"),
    )


def _record(annotation: Mapping[str, Any], position: int) -> str:
    number = text_id(annotation.get("id"))
    return f"annotation {printable(number)}" if number else f"annotations[{position}]"


def _numbers(values: object) -> list[float] | None:
    """A list of numbers as floats, None for anything else."""
    if type(values) is not list or not _NUMBERS.issuperset(map(type, values)):
        return None
    try:
        return list(map(float, values))
    except OverflowError:
        return [math.inf] * len(values)
