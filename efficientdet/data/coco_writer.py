"""Examples back as a COCO data set: instances.json, the images, and captions.json where there are captions."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from efficientdet.data.admission import account
from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation
from efficientdet.data.image_file import UnusableError
from efficientdet.data.image_folder import write_image
from efficientdet.data.ledger import Finding, Ledger
from efficientdet.data.tfod import read_tfod
from efficientdet.data.tfod_classes import TfodClasses
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

INSTANCES, CAPTIONS, IMAGE_FOLDER = "instances.json", "captions.json", "images"
_ROWS = ".rows"  # one line per image, which the JSON files are made of
_LISTED = {INSTANCES: "annotations", CAPTIONS: "captions"}
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")


def write_coco(paths: Iterable[str | Path], classes: TfodClasses, folder: Path) -> Ledger:
    """Writes the records of `paths`, ours or of other TF Object Detection API writers, as a COCO data set.

    Args:
      paths: files of TFRecords, gzip or plain.
      classes: of the records; category ids are those of its label map.
      folder: a new or empty one; it appears complete, or not at all.

    An image id that is a whole number is kept; any other goes to `source_id`, and the image gets a number above all
    that were kept. An image keeps its bytes, and its name where that is one inside `images` and free; else it is
    called by its hash, and the name goes to `original_file_name`. Boxes are as in the records, to float32's
    precision. Besides COCO's keys there are `difficult` of objects and `group` of images where they are set.
    Memory does not grow with the number of images, but for a hash of each.

    Returns:
      The account of all images and boxes; dropped are those that no JSON can hold.

    Raises:
      DataError: the folder is not empty, a file holds no TFRecords, or not one image can be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is not an empty folder; name a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        ledger = _write_rows(paths, classes, aside)
        ledger.require_balance(str(folder))
        if not ledger.images.kept:
            raise DataError(f"{folder}: is not written, as there is not one image in the records ({ledger})")
        _write_json(aside, classes.label_map)
        (aside / _ROWS).unlink()
        aside.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return ledger


def _write_rows(paths: Iterable[str | Path], classes: TfodClasses, aside: Path) -> Ledger:
    """The images, and a line about each."""
    categories = {label.name: label.category_id for label in classes.label_map}
    ledger = Ledger()
    (aside / IMAGE_FOLDER).mkdir()
    with (aside / _ROWS).open("w", encoding="utf-8") as rows:
        for entry in read_tfod(paths, classes, masks=True):
            if not isinstance(entry, ImageAnnotation):
                ledger += account(entry)
                continue
            row, own = _row(entry, categories, aside / IMAGE_FOLDER)
            ledger += own
            if row:
                rows.write(json.dumps(row) + "\n")
    return ledger


def _row(entry: ImageAnnotation, categories: Mapping[str, int], folder: Path) -> tuple[dict[str, Any] | None, Ledger]:
    """What is to be said of an image, which is written, and the account of it and its boxes."""
    ledger = Ledger()
    try:
        height, width = _size(entry)
    except UnusableError as error:
        ledger.book(Finding(error.reason, entry.file, entry.record, str(error), of="image"))
        for box in entry.boxes:
            ledger.book(Finding(error.reason, entry.file, f"{entry.record}, {box.record}", str(error)))
        return None, ledger
    annotations = []
    for box in entry.boxes:
        try:
            annotations.append(_annotation(box, categories, height, width))
            ledger.boxes.kept += 1
        except UnusableError as error:
            ledger.book(Finding(error.reason, entry.file, f"{entry.record}, {box.record}", str(error)))
    ledger.images.kept += 1
    name = write_image(folder, entry.image, entry.encoded or b"")
    image = {"file_name": name, "height": height, "width": width}
    if entry.group:
        image["group"] = entry.group
    if name != entry.image:
        image["original_file_name"] = entry.image.encode("utf-8", "backslashreplace").decode()
    captions = [{"caption": text} for text in entry.captions]
    return {"id": entry.source_id, "image": image, "annotations": annotations, "captions": captions}, ledger


def _size(entry: ImageAnnotation) -> tuple[int, int]:
    """Height and width as the record says, or else the image itself; raises UnusableError."""
    if entry.problem:
        raise UnusableError(*entry.problem)
    if entry.height and entry.width and min(entry.height, entry.width) > 0:
        return entry.height, entry.width
    try:
        width, height = Image.open(io.BytesIO(entry.encoded or b"")).size
    except Exception as error:  # Decoders raise any type on damaged bytes.
        message = f"neither the record nor its image says how large it is ({error})"
        raise UnusableError("undecodable image", message) from error
    return height, width


def _annotation(box: BoxAnnotation, categories: Mapping[str, int], height: int, width: int) -> dict[str, Any]:
    """COCO's entry of an object, but for its ids; raises UnusableError when it cannot be given."""
    if box.category not in categories:
        raise UnusableError("unknown category", f"category {box.category!r} is not in the label map")
    if box.corners is None or not all(map(math.isfinite, box.corners)):
        raise UnusableError("malformed box", "the box is not given as four finite numbers")
    ymin, xmin, ymax, xmax = (
        _short(side * length) for side, length in zip(box.corners, [height, width] * 2, strict=True)
    )
    # Rounded so that what ends at the border does so when left and width are added up again.
    bbox_xywh = [xmin, ymin, round(xmax - xmin, 6), round(ymax - ymin, 6)]
    fields = {
        "category_id": categories[str(box.category)],
        "bbox": bbox_xywh,
        "area": _short(bbox_xywh[2] * bbox_xywh[3] if box.area is None else box.area),
        "iscrowd": int(box.is_crowd),
        "segmentation": box.segmentation or [],
    }
    return fields | {"difficult": 1} if box.difficult else fields


def _short(value: float) -> float:
    """The number of the fewest digits that float32 does not tell from `value`."""
    return float(str(np.float32(value)))


def _write_json(aside: Path, label_map: LabelMap) -> None:
    """The files that are made of the rows."""
    kept, captions = 0, False
    with (aside / _ROWS).open(encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            kept = max(kept, int(row["id"]) if _INTEGER.fullmatch(row["id"]) else 0)
            captions |= bool(row["captions"])
    categories = [{"id": label.category_id, "name": label.name} for label in label_map]
    for name in (INSTANCES, CAPTIONS) if captions else (INSTANCES,):
        with (aside / name).open("w", encoding="utf-8") as file:
            file.write('{"info": {"description": "Written by efficientdet to-coco."},\n')
            _write_list(file, "images", _images(aside, kept + 1))
            _write_list(file, "annotations", _objects(aside, kept + 1, _LISTED[name]))
            file.write(f'"categories": {json.dumps(categories)},\n' if name == INSTANCES else "")
            file.write('"licenses": []}\n')


def _write_list(file: TextIO, key: str, values: Iterable[dict[str, Any]]) -> None:
    file.write(f'"{key}": [')
    for number, value in enumerate(values):
        file.write(f"{',' if number else ''}\n{json.dumps(value)}")
    file.write("],\n")


def _rows(aside: Path, free: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each image, from `free` on for those whose id is none, and its row."""
    numbers = count(free)
    with (aside / _ROWS).open(encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            yield int(row["id"]) if _INTEGER.fullmatch(row["id"]) else next(numbers), row


def _images(aside: Path, free: int) -> Iterator[dict[str, Any]]:
    for number, row in _rows(aside, free):
        yield {"id": number} | row["image"] | ({} if str(number) == row["id"] else {"source_id": row["id"]})


def _objects(aside: Path, free: int, key: str) -> Iterator[dict[str, Any]]:
    """The annotations or captions of all images, numbered from 1."""
    ids = count(1)
    for number, row in _rows(aside, free):
        for fields in row[key]:
            yield {"id": next(ids), "image_id": number} | fields
