"""YOLO folders: one text file per image, on each row a class index and a box or polygon in fractions of the image."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path, PurePosixPath

from efficientdet.data.annotation import BoxAnnotation, Entry, ImageAnnotation, Read
from efficientdet.data.image_file import UnusableError, locate
from efficientdet.data.ledger import Finding
from efficientdet.data.yolo_layout import YoloLayout, label_file, read_layout
from efficientdet.label_map import LabelMap

MAX_LABEL_BYTES = 16 << 20
# labelImg writes the names of the classes among the labels.
NO_LABELS = frozenset(("classes.txt",))
UNREADABLE = "unreadable label file"

_Labelled = tuple[ImageAnnotation, list[Finding], int]  # an image, its rows that are no boxes, and how many rows


def yolo_label_map(root: str | Path) -> LabelMap:
    """The classes of the description, ordered by class index, which becomes the category id.

    Raises DataError as `read_layout` does, or when two classes have the same name.
    """
    layout = read_layout(root)
    return LabelMap.from_categories({"id": index, "name": name} for index, name in layout.names.items())


def read_yolo(root: str | Path, split: str) -> Iterator[Entry]:
    """Every image of a split with its objects.

    Args:
      root: the data folder, with data.yaml or Darknet's files; see `data.yolo_layout`. Nothing outside is read.
      split: `train`, `val` or `test`.

    An object's category is the name of its class index, or the index where the description has none for it. A row of
    five numbers is a box, a longer one a polygon, whose box is its hull; keypoints after a box are passed over. An
    image without a label file, or with an empty one, is an image without objects. A row that cannot be read is a
    Finding. An image listed twice, one whose label file is no text, and a label file that no image belongs to come
    with a `problem`. Raises DataError as `read_layout` does, or when there is no such split.
    """
    layout = read_layout(root)
    images = boxes = 0
    seen: set[str] = set()
    for place in layout.places(split):
        listed = (_image(layout, image, seen) for image in layout.images(place))
        for annotation, findings, rows in chain(listed, _orphans(layout, place, seen)):
            yield annotation
            yield from findings
            images, boxes = images + 1, boxes + rows
    yield Read(images, boxes)


def yolo_files(root: str | Path, splits: Iterable[str]) -> set[Path]:
    """Every file in the data folder that the reading of these splits depends on; it need not exist."""
    layout = read_layout(root)
    names = {layout.file.name, *(path.name for path in layout.root.glob("*.names"))}
    for place in (place for split in splits for place in layout.places(split)):
        images = set(layout.images(place))
        names |= images | {label_file(image) for image in images} | set(_labels(layout, place)) | {place}
    return {layout.root / name for name in names if _is_inside(layout, name) and not (layout.root / name).is_dir()}


def _image(layout: YoloLayout, image: str, seen: set[str]) -> _Labelled:
    """An image, which is entered into `seen`."""
    label, record = label_file(image), f"image {image}"
    rows: dict[int, bytes] = {}
    try:
        if image in seen:
            raise UnusableError("duplicate image id", f"{image} is listed twice")
        seen.add(image)
        locate(layout.root, image)
        rows = _rows(layout, label)
        text = _decode(rows, label)
    except UnusableError as error:
        return _unusable(layout, label, record, image, error, rows)
    file = str(layout.root / label)
    boxes, findings = [], []
    for line, row in text.items():
        try:
            boxes.append(_box(layout, line, row))
        except UnusableError as error:
            findings.append(Finding(error.reason, file, f"{record}, line {line}", str(error), of="box"))
    return ImageAnnotation(file, record, _source_id(image), image, boxes=boxes, normalised=True), findings, len(rows)


def _orphans(layout: YoloLayout, place: str, seen: set[str]) -> Iterator[_Labelled]:
    """Label files of a folder of images that belong to none of those seen."""
    known = {label_file(image) for image in seen}
    for label in _labels(layout, place):
        if label not in known:
            rows: dict[int, bytes] = {}
            with suppress(UnusableError):
                rows = _rows(layout, label)
            error = UnusableError("missing image file", "there is no image that the label file belongs to")
            yield _unusable(layout, label, f"labels {label}", label, error, rows)


def _unusable(
    layout: YoloLayout, label: str, record: str, image: str, error: UnusableError, rows: Iterable[int]
) -> _Labelled:
    """An image that cannot be used, with a box for every row, as the ledger counts them."""
    boxes = [BoxAnnotation(f"line {line}", None, None) for line in rows]
    problem, file = (error.reason, str(error)), str(layout.root / label)
    return ImageAnnotation(file, record, _source_id(image), image, boxes=boxes, problem=problem), [], len(boxes)


def _labels(layout: YoloLayout, place: str) -> list[str]:
    """The label files of a folder of images; none for a list of images."""
    images = layout.root / place
    folder = layout.root / PurePosixPath(label_file(f"{place}/image")).parent
    if not images.is_dir() or images == folder or not _is_inside(layout, str(folder.relative_to(layout.root))):
        return []
    found = (path for path in folder.rglob("*.txt") if path.name not in NO_LABELS)
    return sorted(path.relative_to(layout.root).as_posix() for path in found)


def _rows(layout: YoloLayout, label: str) -> dict[int, bytes]:
    """The lines of a label file that are not blank, by number, none where there is no file; raises UnusableError."""
    path = locate(layout.root, label)
    try:
        if not path.exists():
            return {}
        if not path.is_file() or path.stat().st_size > MAX_LABEL_BYTES:
            raise UnusableError(UNREADABLE, f"the label file {label} is no file of at most {MAX_LABEL_BYTES} bytes")
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise UnusableError(UNREADABLE, f"the label file {label} cannot be read ({error.strerror})") from error
    return {line: row for line, row in enumerate(lines, start=1) if row.strip()}


def _decode(rows: Mapping[int, bytes], label: str) -> dict[int, str]:
    """The same lines as text; what is none must not pass for an image without objects, and raises UnusableError."""
    try:
        text = {line: row.decode() for line, row in rows.items()}
    except UnicodeDecodeError as error:
        raise UnusableError(UNREADABLE, f"the label file {label} is no UTF-8 text; save it as such") from error
    if any("\0" in row for row in text.values()):
        raise UnusableError(UNREADABLE, f"the label file {label} holds NUL bytes; save it as UTF-8 text")
    return text


def _box(layout: YoloLayout, line: int, row: str) -> BoxAnnotation:
    """One row, UnusableError when it is none; whether its box is sound is decided when its image is known."""
    index, *values = _numbers(row)
    corners = _corners(values, layout.keypoints)
    return BoxAnnotation(f"line {line}", layout.names.get(int(index), int(index)), corners)


def _numbers(row: str) -> list[float]:
    try:
        numbers = [float(field) for field in row.split()]
    except ValueError:
        numbers = []
    if not numbers or not numbers[0].is_integer():
        raise UnusableError("malformed row", f"{row.strip()[:80]!r} is no class index followed by numbers")
    return numbers


def _corners(values: list[float], keypoints: int) -> tuple[float, float, float, float]:
    """ymin, xmin, ymax, xmax in fractions of the image's sides."""
    if keypoints and len(values) == 4 + keypoints:
        values = values[:4]
    if len(values) == 4:
        x, y, width, height = values
        return y - height / 2, x - width / 2, y + height / 2, x + width / 2
    if len(values) < 6 or len(values) % 2:
        raise UnusableError(
            "malformed row",
            f"{len(values)} numbers follow the class index, but a box has 4 and a polygon 6 or more, in pairs",
        )
    if not all(map(math.isfinite, values)):
        return (math.nan,) * 4
    return min(values[1::2]), min(values[::2]), max(values[1::2]), max(values[::2])


def _is_inside(layout: YoloLayout, name: str) -> bool:
    try:
        return bool(locate(layout.root, name))
    except UnusableError:
        return False


def _source_id(image: str) -> str:
    """The name of an image as text, also where the file system's bytes are not UTF-8."""
    return image.encode("utf-8", "backslashreplace").decode()
