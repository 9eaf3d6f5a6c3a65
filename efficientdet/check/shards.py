"""Shards of examples read as annotations, so that they are checked by the same rules as annotation files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from efficientdet.data.annotation import BoxAnnotation, Entry, ImageAnnotation, Read
from efficientdet.data.ledger import Finding
from efficientdet.errors import reason
from efficientdet.label_map import LabelMap

SIDES = ("ymin", "xmin", "ymax", "xmax")


def read_shards(shards: Sequence[str], labels: LabelMap) -> Iterator[Entry]:
    """Every image of gzip TFRecord shards with its boxes, whose category is their class id; one record at a time.

    A shard that ends too soon yields a Finding, and the next one follows. A box whose class text is not that of the
    label map yields a Finding too.
    """
    images = boxes = 0
    for shard in shards:
        position = 0
        try:
            for position, record in enumerate(tf.data.TFRecordDataset([shard], "GZIP").as_numpy_iterator()):
                annotation, findings = _annotation(shard, position, record, labels)
                images, boxes = images + 1, boxes + len(annotation.boxes)
                yield annotation
                yield from findings
        except tf.errors.DataLossError as error:
            said = f"the shard is damaged here, and the rest of it cannot be read ({reason(error)})"
            yield Finding("damaged shard", shard, f"after record {position}", said, "noted", "image")
    yield Read(images, boxes)


def _annotation(shard: str, position: int, record: bytes, labels: LabelMap) -> tuple[ImageAnnotation, list[Finding]]:
    place = f"record {position}"
    try:
        features = tf.train.Example.FromString(record).features.feature
    except Exception as error:  # Of protobuf, which has several implementations.
        problem = ("malformed record", f"is not an example ({reason(error)})")
        return ImageAnnotation(shard, place, "", place, problem=problem), []
    source_id, name = (_text(_first(features, f"image/{key}")) for key in ("source_id", "filename"))
    place = f"{place} ({name or source_id})"
    encoded = _first(features, "image/encoded") or b""
    boxes, strange = _boxes(features, labels)
    findings = [Finding("class text differs", shard, f"{place}, {box.record}", said, "noted") for box, said in strange]
    annotation = ImageAnnotation(
        shard,
        place,
        source_id,
        name or source_id,
        int(_first(features, "image/height") or 0) or None,
        int(_first(features, "image/width") or 0) or None,
        boxes,
        None if encoded else ("malformed record", "the record holds no image"),
        normalised=True,
        encoded=encoded,
    )
    return annotation, findings


def _boxes(
    features: Mapping[str, Any], labels: LabelMap
) -> tuple[list[BoxAnnotation], list[tuple[BoxAnnotation, str]]]:
    """The boxes of an example, and those with another class text than their class has."""
    objects = {
        key: _values(features, f"image/object/{key}")
        for key in ("class/label", "class/text", "is_crowd", "area", "difficult", *(f"bbox/{side}" for side in SIDES))
    }
    boxes, strange = [], []
    names: dict[object, str] = {label.id: label.name for label in labels}
    for i, class_id in enumerate(objects["class/label"]):
        of_box = {key: values[i] for key, values in objects.items() if i < len(values)}
        corners = tuple(of_box[f"bbox/{side}"] for side in SIDES if f"bbox/{side}" in of_box)
        box = BoxAnnotation(
            f"box {i}",
            int(class_id),
            corners if len(corners) == 4 else None,
            of_box.get("area"),
            bool(of_box.get("is_crowd", 0)),
            bool(of_box.get("difficult", 0)),
        )
        boxes.append(box)
        text = _text(of_box.get("class/text"))
        if text and text != names.get(box.category, text):
            strange.append((box, f"class {class_id} is called {text!r}, but {names[box.category]!r} in the label map"))
    return boxes, strange


def _values(features: Mapping[str, Any], key: str) -> Sequence[Any]:
    """The list of a feature, empty when the example has none."""
    if key not in features:
        return ()
    kind = features[key].WhichOneof("kind")
    return getattr(features[key], kind).value if kind else ()


def _first(features: Mapping[str, Any], key: str) -> Any:
    return next(iter(_values(features, key)), None)


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
