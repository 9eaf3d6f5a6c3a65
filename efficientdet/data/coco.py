"""COCO instances JSON: files with `images`, `annotations` and `categories`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from efficientdet.data.annotation import BoxAnnotation, Entry, ImageAnnotation, Read
from efficientdet.data.coco_index import CocoIndex, ImageRow, text_id
from efficientdet.data.json_stream import read_lists
from efficientdet.data.ledger import Finding
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

MOST_BOXES = 10_000
"""Objects of one image; what comes after them is dropped, so that one record cannot take all memory."""
REMEDY = "give a COCO instances file, as in annotations/instances_train2017.json"


def coco_label_map(paths: Iterable[str | Path]) -> LabelMap:
    """The classes of all annotation files together, ordered by category id.

    Raises DataError, naming the file, when one is missing, empty, not JSON, without categories, or calls a category
    id differently than another file.
    """
    names: dict[int, str] = {}
    for path in paths:
        categories = [value for _, value in read_lists(path, ["categories"])]
        if not categories[1:]:
            lacks = "lists no categories at all" if categories else "has no list of categories"
            raise DataError(f"{path}: the annotation file {lacks}; {REMEDY}")
        for category in categories[1:]:
            try:
                number, name = int(category["id"]), str(category["name"])
                name.encode()
            except (TypeError, KeyError, ValueError, OverflowError) as error:
                raise DataError(f"{path}: category {category!r} has no id and name in UTF-8; {REMEDY}") from error
            if names.setdefault(number, name) != name:
                raise DataError(f"{path}: category {number} is {name!r}, but {names[number]!r} before; use one name")
    try:
        return LabelMap.from_categories([{"id": number, "name": name} for number, name in names.items()])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


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
    index = CocoIndex(paths, captions, masks)
    for row in index.rows():
        yield from _image(index, row, group_by)
    for path, image_id, position, fields in index.strays():
        message = f"belongs to image id {image_id or 'none'}, which is not listed"
        yield Finding("unknown image id", path, _record(fields, position), message)
    yield Read(index.images, index.boxes)


def _image(index: CocoIndex, row: ImageRow, group_by: str | None) -> Iterator[ImageAnnotation | Finding]:
    """What becomes of one entry of `images`."""
    file, entry, owners = index.paths[row.file], row.entry, iter([row])
    record = f"image {row.id} ({entry.get('file_name')})" if row.id else f"images[{row.row - 1}]"
    problem = _problem(index, row)
    if not problem:
        first = next(other for other in index.same_name(row) if other.row == row.row or not _problem(index, other))
        if first.row == row.row:
            owners = (other for other in index.same_name(row) if _size(other) == _size(row))
            owners = (other for other in owners if other.row == row.row or not _problem(index, other))
        elif _size(first) == _size(row):
            message = f"names the same file as image {first.id}, which takes its objects"
            yield Finding("same file", file, record, message, "merged", "image")
            return
        else:
            problem = ("two sizes", f"gives another size than image {first.id}, which names the same file")
    boxes = (box for owner in owners for box in _boxes(index, owner))
    height, width = _size(row)
    yield ImageAnnotation(
        file,
        record,
        row.id,
        str(entry.get("file_name")),
        height if height > 0 else None,
        width if width > 0 else None,
        list(islice(boxes, MOST_BOXES)),
        problem,
        captions=index.captions(row) if row.id else (),
        group=(text_id(entry.get(group_by)) or None) if group_by else None,
    )
    for box in boxes:
        message = f"belongs to an image that has {MOST_BOXES} objects before it"
        yield Finding("too many boxes", file, f"{record}, {box.record}", message)


def _problem(index: CocoIndex, row: ImageRow) -> tuple[str, str] | None:
    """Why an entry of `images` cannot be used."""
    if not row.id or not row.name:
        return "malformed record", "the entry has no id and file_name"
    if min(_size(row)) < 0:
        return "malformed record", "height and width must be whole numbers"
    if index.first_of_id(row).name != row.name:
        return "duplicate image id", f"image id {row.id} was given to another image before"
    return None


def _boxes(index: CocoIndex, row: ImageRow) -> Iterator[BoxAnnotation]:
    """The objects of an entry; of entries with one id in one file, only the first has any."""
    if row.id and index.first_of_id(row, same_file=True).row == row.row:
        for position, fields in index.annotations(row):
            yield _box(fields, position)


def _box(annotation: Mapping[str, Any], position: int) -> BoxAnnotation:
    """One entry of `annotations`; whether it is sound is decided when its image is known."""
    category, area = annotation.get("category_id"), _numbers([annotation.get("area")])
    if isinstance(category, float) and category.is_integer():
        category = int(category)
    corners = None
    bbox_xywh = _numbers(annotation.get("bbox"))
    if bbox_xywh and len(bbox_xywh) == 4:
        x, y, width, height = bbox_xywh
        corners = (y, x, y + height, x + width)
    return BoxAnnotation(
        _record(annotation, position),
        category if isinstance(category, int | str) else repr(category),
        corners,
        area[0] if area and math.isfinite(area[0]) and area[0] > 0 else None,
        is_crowd=annotation.get("iscrowd", 0) in (1, "1", True),
        segmentation=annotation.get("segmentation"),
    )


def _record(annotation: Mapping[str, Any], position: int) -> str:
    return f"annotation {annotation['id']}" if "id" in annotation else f"annotations[{position}]"


def _size(row: ImageRow) -> tuple[int, int]:
    """Height and width; 0 for one that the file does not give, -1 for one that is not a whole number."""
    return _length(row.entry.get("height")), _length(row.entry.get("width"))


def _length(value: object) -> int:
    if value is None:
        return 0
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if whole else -1  # type: ignore[call-overload]


def _numbers(values: object) -> list[float] | None:
    """A list of numbers as floats, None for anything else."""
    if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
        return None
    try:
        return [float(v) for v in values]
    except OverflowError:
        return [math.inf] * len(values)
