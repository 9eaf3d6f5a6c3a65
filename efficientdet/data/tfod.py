"""TF Object Detection API TFRecords, as others wrote them: images and boxes in one file."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from efficientdet.data.annotation import BoxAnnotation, Entry, ImageAnnotation, Read
from efficientdet.data.image_file import UnusableError
from efficientdet.data.ledger import Finding
from efficientdet.data.rle import png_mask, run_lengths
from efficientdet.data.tfod_classes import LABEL, TEXT, TfodClasses
from efficientdet.data.tfrecord_file import Damage, read_tfrecords
from efficientdet.errors import DataError

SIDES = tuple(f"image/object/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax"))
CROWD = ("image/object/is_crowd", "image/object/iscrowd", "image/object/group_of")
DIFFICULT, AREA, MASK = "image/object/difficult", "image/object/area", "image/object/mask"

_Seen = dict[str, set[bytes]]  # by image id the beginnings of its images' hashes
_KINDS = {
    **dict.fromkeys(
        ("image/encoded", "image/filename", "image/source_id", "image/caption", "image/group", TEXT, MASK), "bytes_list"
    ),
    **dict.fromkeys(("image/height", "image/width", LABEL, *CROWD, DIFFICULT), "int64_list"),
    **dict.fromkeys((*SIDES, AREA), "float_list"),
}


def tfod_files(root: str | Path, pattern: str) -> list[Path]:
    """The files below `root` that match a glob, sorted; raises DataError when there is none."""
    files = sorted(path for path in Path(root).glob(pattern) if path.is_file())
    if not files:
        raise DataError(f"{root}: no file matches {pattern!r}; give TFRecords as in 'train.record-*'")
    return files


def read_tfod(paths: Iterable[str | Path], classes: TfodClasses, masks: bool = False) -> Iterator[Entry]:
    """Every image of the records with its objects, one in memory at a time.

    An object's category is the class of its `class/text`, or where it has none of its `class/label`; text or number as
    it is when it stands for no class. `group_of` counts as crowd. With `masks` a PNG becomes uncompressed run lengths.
    An id is the record's `source_id`, else its `filename`, else the sha256 of its image; one that an earlier image has
    is noted, and goes on with the beginning of that hash. What is no record is a Finding for an image.
    Raises DataError for a file that is missing or holds no TFRecords.
    """
    seen: _Seen = defaultdict(set)
    for path in paths:
        images = boxes = 0
        for number, record in enumerate(read_tfrecords(path), start=1):
            images += 1
            try:
                features = _parse(record)
            except UnusableError as error:
                yield Finding(error.reason, str(path), f"record {number}", str(error), of="image")
                continue
            image, notes = _image(str(path), number, features, classes, masks, seen)
            boxes += _count(features)
            yield image
            yield from notes
        yield Read(images, boxes)


def _parse(record: bytes | Damage) -> Mapping[str, Any]:
    """The features of a record by key; raises UnusableError."""
    if isinstance(record, Damage):
        raise UnusableError("damaged record", f"{record.message}; copy the file again or have it written anew")
    try:
        return tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        raise UnusableError("malformed record", "the record is no tf.train.Example; have it written anew") from error


def _image(
    file: str, number: int, features: Mapping[str, Any], classes: TfodClasses, masks: bool, seen: _Seen
) -> tuple[ImageAnnotation, list[Finding]]:
    """One record, its id entered into `seen`, and what is noted about it."""
    notes: list[UnusableError] = []
    record, name = f"record {number}", ""
    try:
        name, encoded = (
            _text(features, "image/filename", "surrogateescape"),
            next(iter(_values(features, "image/encoded")), b""),
        )
        record += f" ({name})" if name else ""
        source_id = _identify(features, name, encoded, seen, notes)
        height, width = (next(iter(_values(features, f"image/{side}")), None) for side in ("height", "width"))
        image = ImageAnnotation(
            file,
            record,
            source_id,
            name or source_id,
            height,
            width,
            _boxes(features, classes, (height or 0, width or 0) if masks else None, notes),
            normalised=True,
            captions=[value.decode(errors="backslashreplace") for value in _values(features, "image/caption")],
            group=_text(features, "image/group") or None,
            encoded=encoded,
        )
    except UnusableError as error:
        boxes = [BoxAnnotation(f"object {i}", None, None) for i in range(1, 1 + _count(features))]
        problem = (error.reason, str(error))
        return ImageAnnotation(file, record, record, name or record, boxes=boxes, problem=problem), []
    return image, [Finding(note.reason, file, record, str(note), "noted", of="image") for note in notes]


def _identify(features: Mapping[str, Any], name: str, encoded: bytes, seen: _Seen, notes: list[UnusableError]) -> str:
    """The id of an image, unlike those of earlier ones; raises UnusableError for the same image again."""
    if not encoded:
        raise UnusableError("malformed record", "the record holds no image/encoded; have it written anew")
    digest = hashlib.sha256(encoded)
    named = name.encode("utf-8", "backslashreplace").decode()
    source_id = _text(features, "image/source_id") or named or digest.hexdigest()
    earlier, own = seen[source_id], digest.digest()[:8]
    if own in earlier:
        raise UnusableError("duplicate image id", f"an earlier record has the image id {source_id} and this image")
    earlier.add(own)
    if len(earlier) == 1:
        return source_id
    notes.append(UnusableError("changed image id", f"another image has the id {source_id}; a hash is added to it"))
    return f"{source_id}-{digest.hexdigest()[:12]}"


def _boxes(
    features: Mapping[str, Any], classes: TfodClasses, mask_size: tuple[int, int] | None, notes: list[UnusableError]
) -> list[BoxAnnotation]:
    """The objects; whether their boxes are sound is decided when the image is known."""
    count = _count(features)
    sides = [_values(features, key) for key in SIDES]
    # Of lists of several lengths no one can tell which number is whose.
    corners = list(zip(*sides, strict=True)) if all(len(side) == count for side in sides) else [None] * count
    texts, labels = (_per_object(features, key, count, notes) for key in (TEXT, LABEL))
    crowds = [_per_object(features, key, count, notes) for key in CROWD]
    difficult, areas = (_per_object(features, key, count, notes) for key in (DIFFICULT, AREA))
    masks = _per_object(features, MASK, count, notes) if mask_size else ()
    return [
        BoxAnnotation(
            f"object {i + 1}",
            _category(texts[i], labels[i], classes),
            corners[i],
            area=areas[i] if areas[i] and math.isfinite(areas[i]) and areas[i] > 0 else None,
            is_crowd=any(crowd[i] for crowd in crowds),
            difficult=bool(difficult[i]),
            segmentation=_segmentation(masks[i], mask_size, i + 1, notes) if masks and mask_size else None,
        )
        for i in range(count)
    ]


def _category(text: bytes | None, label: int | None, classes: TfodClasses) -> object:
    if text:
        written = text.decode(errors="backslashreplace")
        return classes.by_text.get(written, written)
    return classes.by_label.get(label, label) if label is not None else ""


def _segmentation(
    png: bytes | None, size: tuple[int, int], number: int, notes: list[UnusableError]
) -> dict[str, Any] | None:
    if not png:
        return None
    try:
        return run_lengths(png_mask(png, *size))
    except UnusableError as error:
        notes.append(UnusableError(error.reason, f"object {number}: {error}; it is left out"))
        return None


def _count(features: Mapping[str, Any]) -> int:
    """The objects of a record, whatever else is wrong with them: as many as the longest list has."""
    kinds = {key: features[key].WhichOneof("kind") for key in (*SIDES, TEXT, LABEL) if key in features}
    return max((len(getattr(features[key], kind).value) for key, kind in kinds.items() if kind), default=0)


def _values(features: Mapping[str, Any], key: str) -> Sequence[Any]:
    """The values under a key, none when it is absent; raises UnusableError when they are of another kind."""
    kind = features[key].WhichOneof("kind") if key in features else None
    values = getattr(features[key], kind).value if kind else ()
    if len(values) and kind != _KINDS[key]:
        raise UnusableError("malformed record", f"{key} is a {kind}, not a {_KINDS[key]}; have the record written anew")
    return values


def _per_object(features: Mapping[str, Any], key: str, count: int, notes: list[UnusableError]) -> Sequence[Any]:
    """The values under a key, one per object, or None for each where the record does not have as many."""
    values = _values(features, key)
    if len(values) == count:
        return values
    if len(values):
        notes.append(UnusableError("incomplete list", f"{len(values)} {key} for {count} objects are left out"))
    return [None] * count


def _text(features: Mapping[str, Any], key: str, errors: str = "backslashreplace") -> str:
    """The one text under a key, empty when it is absent."""
    return next((value.decode(errors=errors) for value in _values(features, key)), "")
