"""What foreign TF Object Detection API records call their classes: a label_map.pbtxt, or the texts found in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from efficientdet.data.tfrecord_file import Damage, read_tfrecords
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

MAX_BYTES = 16 << 20
TEXT, LABEL = "image/object/class/text", "image/object/class/label"
REMEDY = "give the label_map.pbtxt the records were written with: item { id: 1 name: 'cat' }"


@dataclass(frozen=True)
class TfodClasses:
    """The classes of some records.

    label_map: theirs; a category id is the number that stands for the class in the records, where one does.
    by_label: class name by that number. by_text: class name by any text that stands for it.
    """

    label_map: LabelMap
    by_label: Mapping[int, str]
    by_text: Mapping[str, str]

    @classmethod
    def of_examples(cls, label_map: LabelMap) -> TfodClasses:
        """Of our own examples: the number in a record is the contiguous class id."""
        return cls(label_map, {label.id: label.name for label in label_map}, {name: name for name in label_map.names})

    @classmethod
    def from_pbtxt(cls, path: str | Path) -> TfodClasses:
        """Of a label_map.pbtxt. A class is called by its `display_name`, or else its `name`; records may use either.

        Id 0 is the background, and left out. Raises DataError when the file is missing, no label map, or gives an id
        or a name twice.
        """
        items = [item for item in _items(Path(path)) if item.id]
        shown = {item.id: item.display_name or item.name for item in items}
        try:
            if not items or min(shown) < 0 or len(shown) < len(items) or not all(shown.values()):
                raise DataError("every item needs an id of its own above 0 and a name")
            label_map = LabelMap.from_categories({"id": number, "name": name} for number, name in shown.items())
        except DataError as error:
            raise DataError(f"{path}: {error}; {REMEDY}") from error
        return cls(label_map, shown, {item.name: shown[item.id] for item in items} | {n: n for n in shown.values()})

    @classmethod
    def found_in(cls, paths: Iterable[str | Path]) -> TfodClasses:
        """Of the texts in the records, with the numbers beside them as category ids.

        Where a number stands for several texts, or a text for several numbers, or has none, the texts are numbered in
        alphabetical order instead. Raises DataError when no record names a class.
        """
        labels: dict[str, set[int]] = defaultdict(set)
        path: str | Path = "no file at all"
        for path in paths:
            for record in read_tfrecords(path):
                for text, label in _named(record):
                    labels[text].add(label)
        if not labels:
            raise DataError(f"{path}: the records name no class; {REMEDY}")
        numbers = [number for own in labels.values() for number in own]
        if len(set(numbers)) == len(numbers) == len(labels) and min(numbers) > 0:
            by_label = {number: text for text, own in labels.items() for number in own}
            label_map = LabelMap.from_categories({"id": number, "name": text} for number, text in by_label.items())
        else:
            by_label, label_map = {}, LabelMap.from_names(sorted(labels))
        return cls(label_map, by_label, {text: text for text in labels})


def _named(record: bytes | Damage) -> list[tuple[str, int]]:
    """The texts of a record with the number beside each, 0 for none."""
    try:
        features = tf.train.Example.FromString(b"" if isinstance(record, Damage) else record).features.feature
        texts = [text.decode() for text in features[TEXT].bytes_list.value]
    except (DecodeError, UnicodeDecodeError):  # to be reported where the boxes are read
        return []
    numbers = features[LABEL].int64_list.value
    numbers = numbers if len(numbers) == len(texts) else [0] * len(texts)
    return [(text, number) for text, number in zip(texts, numbers, strict=True) if text]


def _items(path: Path) -> Any:
    """The items of a label map in protobuf's text format; raises DataError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        return text_format.Parse(path.read_text(encoding="utf-8-sig"), _message()(), allow_unknown_field=True).item
    except OSError as error:
        raise DataError(f"{path}: the label map cannot be read ({error.strerror}); {REMEDY}") from error
    except (text_format.ParseError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no label map ({error}); {REMEDY}") from error


@cache
def _message() -> Any:
    """The message of a label map file, with the fields that matter here."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="label_map.proto", package="efficientdet", syntax="proto2")
    item = file.message_type.add(name="Item")
    for number, (name, scalar) in enumerate({"name": "STRING", "id": "INT32", "display_name": "STRING"}.items(), 1):
        item.field.add(name=name, number=number, type=kind.Type.Value(f"TYPE_{scalar}"), label=kind.LABEL_OPTIONAL)
    items = file.message_type.add(name="LabelMap").field.add(name="item", number=1, label=kind.LABEL_REPEATED)
    items.type, items.type_name = kind.TYPE_MESSAGE, ".efficientdet.Item"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("efficientdet.LabelMap"))
