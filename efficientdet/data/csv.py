"""AutoML's CSV: one object per row, with its image, its box as fractions of it, and the set the image belongs to."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from efficientdet.data.annotation import BoxAnnotation, Entry, ImageAnnotation, Read
from efficientdet.data.image_file import UnusableError
from efficientdet.data.ledger import Finding
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

TRAIN, VALIDATION, TEST = SETS = ("TRAIN", "VALIDATION", "TEST")
UNASSIGNED = "UNASSIGNED"
NO_SET = ""
"""Of rows that cannot be read at all."""

# As Model Maker does, names are told by their beginning: TRAINING and VAL are in use.
_BEGINNINGS = {"TRAIN": TRAIN, "VAL": VALIDATION, "TEST": TEST, "UNASSIGNED": UNASSIGNED}
_COLUMNS = range(9, 12)
REMEDY = "give rows of set, image, label, xmin, ymin, two empty columns, xmax, ymax, two empty columns"


class _Row(NamedTuple):
    """A row that names an image; `box` is ymin, xmin, ymax, xmax as written, empty with the label for no object."""

    line: int
    set: str
    image: str
    label: str
    box: Sequence[str]

    @property
    def has_object(self) -> bool:
        """Whether it is about an object, sound or not; else it only names its image."""
        return bool(self.label or any(self.box))


def csv_label_map(path: str | Path, delimiter: str = ",", quotechar: str = '"') -> LabelMap:
    """The labels of all rows that can be read, in the order of their first appearance.

    Raises DataError when the file is missing or no CSV, or labels nothing.
    """
    rows = [row for row in _rows(path, delimiter, quotechar) if isinstance(row, _Row)]
    names = dict.fromkeys(row.label for row in rows if row.label)
    if not names:
        raise DataError(f"{path}: labels no object at all; {REMEDY}")
    return LabelMap.from_names(names)


def read_csv(path: str | Path, delimiter: str = ",", quotechar: str = '"') -> Iterator[tuple[str, Entry]]:
    """Every image with its objects, and the set it belongs to: one of SETS, or UNASSIGNED where the row leaves it open.

    First come the rows without a known set or without an image, each a Finding under NO_SET; then the images in the
    order of their first rows; last the Read of each set, where every row with a label or a box counts as one box.
    Of a rectangle given by four corners the first and the third count.
    Raises DataError when the file is missing or no CSV.
    """
    images: dict[tuple[str, str], list[_Row]] = {}
    boxes: Counter[str] = Counter()
    for row in _rows(path, delimiter, quotechar):
        if isinstance(row, Finding):
            boxes[NO_SET] += 1
            yield NO_SET, row
        else:
            boxes[row.set] += row.has_object
            images.setdefault((row.set, row.image), []).append(row)
    for (name, image), rows in images.items():
        objects = [_box(row) for row in rows if row.has_object]
        yield name, ImageAnnotation(str(path), f"image {image}", image, image, boxes=objects, normalised=True)
    counts = Counter(name for name, _ in images)
    for name in {**boxes, **counts}:
        yield name, Read(counts[name], boxes[name])


def by_set(entries: Iterable[tuple[str, Entry]], root: str | Path, folder: str) -> dict[str, list[Entry]]:
    """The entries of `read_csv` for each of SETS that has any, one Read last, where `root`/`folder` holds the images.

    An image of no set goes by its content, 8:1:1, so that copies of it stay together, and is counted where it goes.
    Rows that name no set come with the first set that has an image.
    """
    sets: dict[str, list[Entry]] = {}
    counts: dict[str, Read] = {}
    for given, entry in entries:
        if isinstance(entry, Read):
            counts[given] = _sum(counts.get(given), entry)
            continue
        name = given
        if isinstance(entry, ImageAnnotation) and given == UNASSIGNED:
            name = _assign_set(Path(root, folder, entry.image))
            counts[name] = _sum(counts.get(name), Read(1, len(entry.boxes)))
            counts[given] = _sum(counts.get(given), Read(-1, -len(entry.boxes)))
        sets.setdefault(name, []).append(entry)
    first = next((name for name in SETS if name in sets), TRAIN)
    # What UNASSIGNED still counts was read and not given away: the first set does not add up then.
    for name in (NO_SET, UNASSIGNED):
        strays = [*sets.pop(name, []), *sets.get(first, [])]
        sets |= {first: strays} if strays else {}
        counts[first] = _sum(counts.get(first), counts.pop(name, None))
    return {name: [*own, counts[name]] for name, own in sets.items()}


def _sum(first: Read | None, second: Read | None) -> Read:
    nothing = Read(0, 0)
    first, second = first or nothing, second or nothing
    return Read(first.images + second.images, first.boxes + second.boxes)


def _assign_set(image: Path) -> str:
    """TRAIN for eight of ten images; one that cannot be read is TRAIN's to report."""
    try:
        with image.open("rb") as file:
            tenth = int(hashlib.file_digest(file, "sha256").hexdigest(), 16) % 10
    except OSError:
        return TRAIN
    return {8: VALIDATION, 9: TEST}.get(tenth, TRAIN)


def _rows(path: str | Path, delimiter: str, quotechar: str) -> Iterator[_Row | Finding]:
    """The rows of the file, blank lines left out; a Finding for one that names no set or no image."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, quotechar=quotechar, strict=True)
            for row in reader:
                try:
                    if any(row):
                        yield _row(reader.line_num, [field.strip() for field in row])
                except UnusableError as error:
                    yield Finding(error.reason, str(path), f"line {reader.line_num}", str(error), of="box")
    except (OSError, UnicodeDecodeError) as error:
        cause = "not found" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise DataError(f"{path}: CSV file {cause}; {REMEDY}") from error
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: is not CSV ({error}); {REMEDY}") from error


def _row(line: int, fields: list[str]) -> _Row:
    if len(fields) not in _COLUMNS:
        raise UnusableError("malformed row", f"the row has {len(fields)} columns, but 11 are needed")
    begun = [name for beginning, name in _BEGINNINGS.items() if fields[0].upper().startswith(beginning)]
    if fields[0] and not begun:
        raise UnusableError("unknown set", f"{fields[0]!r} is none of {', '.join((*SETS, UNASSIGNED))}")
    if not fields[1]:
        raise UnusableError("malformed row", "the row names no image")
    xmin, ymin, xmax, ymax = (fields[i] for i in (3, 4, 7, 8))
    return _Row(line, begun[0] if begun else UNASSIGNED, fields[1], fields[2], (ymin, xmin, ymax, xmax))


def _box(row: _Row) -> BoxAnnotation:
    try:
        ymin, xmin, ymax, xmax = (float(side) for side in row.box)
    except ValueError:
        return BoxAnnotation(f"line {row.line}", row.label, None)
    return BoxAnnotation(f"line {row.line}", row.label, (ymin, xmin, ymax, xmax))
