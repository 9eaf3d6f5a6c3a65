"""COCO instances JSON: one file with `images`, `annotations` and `categories`."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation
from efficientdet.data.ledger import Finding
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

REMEDY = "give a COCO instances file, as in annotations/instances_train2017.json"


def coco_label_map(paths: Iterable[str | Path]) -> LabelMap:
    """The classes of all annotation files together, ordered by category id.

    Raises DataError, naming the file, when one is missing, empty, not JSON, without images or categories,
    or calls a category id differently than another file.
    """
    names: dict[int, str] = {}
    for path in paths:
        for category in _load(path)["categories"]:
            try:
                number, name = int(category["id"]), str(category["name"])
            except (TypeError, KeyError, ValueError) as error:
                raise DataError(f"{path}: category {category!r} has no id and name; {REMEDY}") from error
            if names.setdefault(number, name) != name:
                raise DataError(f"{path}: category {number} is {name!r}, but {names[number]!r} before; use one name")
    try:
        return LabelMap.from_categories([{"id": number, "name": name} for number, name in names.items()])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_coco(paths: Iterable[str | Path]) -> Iterator[ImageAnnotation | Finding]:
    """Every image of the annotation files with its objects, in file order.

    A Finding stands for one object whose image is not listed. Of images with the same id the first one
    counts, the others come with a `problem`. Raises DataError for a file that is no COCO instances file.
    """
    seen: set[str] = set()
    for path in paths:
        instances = _load(path)
        boxes: dict[str, list[BoxAnnotation]] = defaultdict(list)
        for position, annotation in enumerate(instances["annotations"]):
            fields = annotation if isinstance(annotation, Mapping) else {}
            boxes[_id(fields.get("image_id"))].append(_box(fields, position))
        for position, image in enumerate(instances["images"]):
            yield _image(str(path), image if isinstance(image, Mapping) else {}, position, boxes, seen)
        for source_id, strays in boxes.items():
            message = f"belongs to image id {source_id or 'none'}, which is not listed"
            yield from (Finding("unknown image id", str(path), stray.record, message) for stray in strays)


def _load(path: str | Path) -> dict[str, Any]:
    """The file's content, its three lists present and of the right kind; raises DataError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = "not found" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise DataError(f"{path}: annotation file {cause}; {REMEDY}") from error
    if not text.strip():
        raise DataError(f"{path}: the annotation file is empty; {REMEDY}")
    try:
        instances = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: the annotation file is not JSON ({error}); {REMEDY}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(instances, dict) or not isinstance(instances.get(key), list):
            raise DataError(f"{path}: the annotation file has no list of {key}; {REMEDY}")
        if not instances[key] and key != "annotations":
            raise DataError(f"{path}: the annotation file lists no {key} at all; {REMEDY}")
    return instances


def _image(
    path: str, image: Mapping[str, Any], position: int, boxes: dict[str, list[BoxAnnotation]], seen: set[str]
) -> ImageAnnotation:
    """One entry of `images`; takes its objects out of `boxes` and enters its id into `seen`."""
    source_id, name = _id(image.get("id")), image.get("file_name")
    record = f"image {source_id} ({name})" if source_id else f"images[{position}]"
    height, width = _length(image.get("height")), _length(image.get("width"))
    problem = None
    if not source_id or not isinstance(name, str) or not name:
        problem = ("malformed record", "the entry has no id and file_name")
    elif source_id in seen:
        problem = ("duplicate image id", f"image id {source_id} was given to another image before")
    elif min(height, width) < 0:
        problem = ("malformed record", "height and width must be whole numbers")
    seen.add(source_id)
    own = boxes.pop(source_id, []) if source_id else []
    return ImageAnnotation(path, record, source_id, str(name), height or None, width or None, own, problem)


def _box(annotation: Mapping[str, Any], position: int) -> BoxAnnotation:
    """One entry of `annotations`; whether it is sound is decided when its image is known."""
    record = f"annotation {annotation['id']}" if "id" in annotation else f"annotations[{position}]"
    category, area = annotation.get("category_id"), _numbers([annotation.get("area")])
    if isinstance(category, float) and category.is_integer():
        category = int(category)
    corners = None
    bbox_xywh = _numbers(annotation.get("bbox"))
    if bbox_xywh and len(bbox_xywh) == 4:
        x, y, width, height = bbox_xywh
        corners = (y, x, y + height, x + width)
    return BoxAnnotation(
        record,
        category if isinstance(category, int | str) else repr(category),
        corners,
        area[0] if area and math.isfinite(area[0]) and area[0] > 0 else None,
        is_crowd=bool(annotation.get("iscrowd", 0)),
    )


def _id(value: object) -> str:
    """An image id as text, `7` for 7, 7.0 and "7"; empty when it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | str) else ""


def _length(value: object) -> int:
    """A side in pixels; 0 when the file gives none, -1 when it is not a whole number."""
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
