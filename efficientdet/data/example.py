"""One annotated image, and its form on disk: a tf.train.Example with TF Object Detection API keys.

This is the only place where boxes of examples change between pixels and normalised coordinates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.label_map import LabelMap


@dataclass(frozen=True)
class AnnotatedImage:
    """An image file with its objects, checked: every box lies inside the image and has an area.

    source_id: the original id, as text (COCO: the image id, VOC: the file stem); never a number, so
    that ids above 2**24 survive. file_name: as the annotation gives it. encoded: the bytes of the
    file, unchanged. image_format: `jpeg` or `png`. height, width: pixels, from the file itself.
    boxes `[n, 4]` float32 yxyx pixels, 0-based and continuous; classes `[n]` int32 contiguous ids from 1;
    is_crowd `[n]` bool; area `[n]` float32 pixels (COCO: of the segmentation); difficult `[n]` bool
    (VOC's flag: such objects train like any other, and are left out of VOC's numbers). masks: PNG of each
    object's pixels, empty for one without, and none at all where masks were not asked for. captions: sentences about
    the image. group: what the image belongs with.
    """

    source_id: str
    file_name: str
    encoded: bytes = field(repr=False)
    image_format: str
    height: int
    width: int
    boxes: NDArray[np.float32]
    classes: NDArray[np.int32]
    is_crowd: NDArray[np.bool_]
    area: NDArray[np.float32]
    difficult: NDArray[np.bool_]
    masks: tuple[bytes, ...] = field(default=(), repr=False)
    captions: tuple[str, ...] = ()
    group: str | None = None

    @cached_property
    def sha256(self) -> str:
        """Of the encoded image, in hexadecimal digits."""
        return hashlib.sha256(self.encoded).hexdigest()


def to_example(image: AnnotatedImage, label_map: LabelMap) -> tf.train.Example:
    """The record of an image. Boxes are divided by its size; without objects the lists are empty, not absent."""
    example = tf.train.Example(features=tf.train.Features(feature=_described(image, label_map)))
    example.features.feature["image/encoded"].bytes_list.value.append(image.encoded)
    return example


def serialise(image: AnnotatedImage, label_map: LabelMap) -> bytes:
    """The bytes of `to_example`'s record, with one copy of the image instead of three."""
    features = tf.train.Features(feature=_described(image, label_map)).SerializeToString(deterministic=True)
    value = _field(1, len(image.encoded))
    feature = _field(1, len(value) + len(image.encoded))
    name = _field(1, len(_ENCODED)) + _ENCODED
    content = len(value) + len(image.encoded)
    entry = name + _field(2, len(feature) + content) + feature + value
    entry = _field(1, len(entry) + len(image.encoded)) + entry
    return b"".join((_field(1, len(features) + len(entry) + len(image.encoded)), features, entry, image.encoded))


_ENCODED = b"image/encoded"


def _field(number: int, length: int) -> bytes:
    """The head of a length-delimited field in protobuf's wire format."""
    head = bytearray([number << 3 | 2])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head)


def _described(image: AnnotatedImage, label_map: LabelMap) -> dict[str, tf.train.Feature]:
    """All features but the image's bytes."""
    size = np.asarray([image.height, image.width] * 2, np.float64)
    ymin, xmin, ymax, xmax = (image.boxes.reshape(-1, 4) / size).T
    features = {
        "image/format": _bytes([image.image_format.encode()]),
        "image/height": _ints([image.height]),
        "image/width": _ints([image.width]),
        "image/filename": _texts([image.file_name]),
        "image/source_id": _texts([image.source_id]),
        "image/key/sha256": _bytes([image.sha256.encode()]),
        "image/object/bbox/ymin": _floats(ymin),
        "image/object/bbox/xmin": _floats(xmin),
        "image/object/bbox/ymax": _floats(ymax),
        "image/object/bbox/xmax": _floats(xmax),
        "image/object/class/text": _texts(label_map[int(c)].name for c in image.classes),
        "image/object/class/label": _ints(image.classes),
        "image/object/is_crowd": _ints(image.is_crowd),
        "image/object/area": _floats(image.area),
        "image/object/difficult": _ints(image.difficult),
    }
    optional = {
        "image/object/mask": _bytes(image.masks),
        "image/caption": _texts(image.captions),
        "image/group": _texts([image.group] if image.group else []),
    }
    return features | {name: feature for name, feature in optional.items() if feature.bytes_list.value}


def parse_example(serialised: tf.Tensor) -> dict[str, tf.Tensor]:
    """Reads one record, ours or of another TF Object Detection API writer; fit for `tf.data.Dataset.map`.

    Args:
      serialised: string scalar. It must hold `image/encoded`, `image/height` and `image/width`, and a `class/label` for
      every box; InvalidArgumentError when it does not.

    Returns:
      image_bytes, source_id: string scalars, the id of a record without one being its `image/filename`, or else a hash
      of its image; height, width: int32 scalars; boxes `[n, 4]` float32 yxyx pixels; classes `[n]` int32 from 1;
      is_crowd and difficult `[n]` bool, False where the record has none; area `[n]` float32 pixels, that of the box
      where the record has none.
    """
    scalar = {"image/encoded": tf.string, "image/height": tf.int64, "image/width": tf.int64}
    optional = ("image/source_id", "image/filename")
    listed = {f"image/object/bbox/{side}": tf.float32 for side in ("ymin", "xmin", "ymax", "xmax")} | {
        "image/object/class/label": tf.int64,
        "image/object/is_crowd": tf.int64,
        "image/object/difficult": tf.int64,
        "image/object/area": tf.float32,
    }
    features = {key: tf.io.FixedLenFeature([], dtype) for key, dtype in scalar.items()}
    features |= {key: tf.io.FixedLenFeature([], tf.string, "") for key in optional}
    features |= {key: tf.io.FixedLenSequenceFeature([], dtype, allow_missing=True) for key, dtype in listed.items()}
    record = tf.io.parse_single_example(serialised, features)
    height, width = tf.cast(record["image/height"], tf.int32), tf.cast(record["image/width"], tf.int32)
    boxes_norm = tf.stack([record[f"image/object/bbox/{side}"] for side in ("ymin", "xmin", "ymax", "xmax")], axis=-1)
    boxes = boxes_norm * tf.cast(tf.stack([height, width, height, width]), tf.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    message = "Could not parse example: image/object/class/label does not hold a number for every box"
    tf.debugging.assert_equal(tf.size(record["image/object/class/label"]), tf.shape(boxes)[0], message)
    none = tf.zeros(tf.shape(boxes)[0], tf.int64)
    return {
        "image_bytes": record["image/encoded"],
        "source_id": _id(record),
        "height": height,
        "width": width,
        "boxes": boxes,
        "classes": tf.cast(record["image/object/class/label"], tf.int32),
        "is_crowd": _per_box(record["image/object/is_crowd"], none) > 0,
        "difficult": _per_box(record["image/object/difficult"], none) > 0,
        "area": _per_box(record["image/object/area"], sides[:, 0] * sides[:, 1]),
    }


def _id(record: dict[str, tf.Tensor]) -> tf.Tensor:
    """What a record is called; 62 bits of hash tell any number of images apart."""
    hashed = tf.strings.as_string(tf.strings.to_hash_bucket_fast(record["image/encoded"], 1 << 62))
    named = tf.where(tf.equal(record["image/filename"], ""), hashed, record["image/filename"])
    return tf.where(tf.equal(record["image/source_id"], ""), named, record["image/source_id"])


def _per_box(values: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
    """`values` `[n]`, or `default` `[n]` for a record that leaves them out."""
    return tf.ensure_shape(tf.cond(tf.size(values) > 0, lambda: values, lambda: default), [None])


def _bytes(values: Iterable[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _texts(values: Iterable[str]) -> tf.train.Feature:
    """UTF-8; what is none in the name of a file, which Python keeps as surrogates, stands there as escapes."""
    return _bytes(value.encode("utf-8", "backslashreplace") for value in values)


def _ints(values: Sequence[int] | NDArray[Any]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=np.asarray(values, np.int64).tolist()))


def _floats(values: NDArray[Any]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values.tolist()))
