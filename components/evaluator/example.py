"""An example as the Evaluator needs it, and what is wrong with one that cannot be scored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from efficientdet.boxes import yxyx_to_xywh
from efficientdet.coco_metric import Groundtruth
from efficientdet.data.example import parse_example
from efficientdet.data.input_pipeline import decode_image
from efficientdet.scored_image import ScoredImage

PICTURE_FEATURE, ID_FEATURE = "image/encoded", "image/source_id"

BAD_INPUT = (tf.errors.InvalidArgumentError, ValueError, DecodeError)
"""What TensorFlow raises at a record or a picture that it cannot read."""

_parse = tf.function(parse_example, input_signature=[tf.TensorSpec([], tf.string)])


class Example(NamedTuple):
    """One example of a split.

    picture: encoded, not yet decoded. image: its annotations, with nothing found yet. features: everything else that
    the record says, by name, to slice by. slices: TFMA's keys of slices that are known already.
    """

    picture: bytes
    image: ScoredImage
    features: dict[str, NDArray[Any]]
    slices: NDArray[np.object_] | None = None


class Unscored(NamedTuple):
    """An image that could not be scored, by its id or its record's hash, and why."""

    image_id: str
    reason: str


def read_example(record: bytes, slices: NDArray[np.object_] | None = None) -> Example | Unscored:
    """The example of a serialised record, or what is wrong with it."""
    try:
        parsed = {name: value.numpy() for name, value in _parse(record).items()}
        features = _features(record)
    except BAD_INPUT:
        name = f"record sha256:{hashlib.sha256(record).hexdigest()[:16]}"
        return Unscored(name, _reason(parse_example, record) or "cannot be parsed")
    boxes = yxyx_to_xywh(parsed["boxes"].astype(np.float64))
    image = ScoredImage(
        image_id=parsed["source_id"].decode("utf-8", "backslashreplace"),
        height=int(parsed["height"]),
        width=int(parsed["width"]),
        truth=Groundtruth(boxes, *(parsed[name] for name in ("classes", "is_crowd", "area", "difficult"))),
        found={},
    )
    return Example(parsed["image_bytes"], image, features | {ID_FEATURE: np.array([image.image_id])}, slices)


def undecodable(example: Example) -> Unscored | None:
    """Why the picture cannot be decoded; None when it can."""
    reason = _reason(decode_image, example.picture)
    return Unscored(example.image.image_id, reason) if reason else None


def _features(record: bytes) -> dict[str, NDArray[Any]]:
    features = tf.train.Example.FromString(record).features.feature
    lists = {name: getattr(feature, feature.WhichOneof("kind") or "int64_list") for name, feature in features.items()}
    return {
        name: np.array(values.value, object if isinstance(values, tf.train.BytesList) else None)
        for name, values in lists.items()
        if name != PICTURE_FEATURE
    }


def _reason(function: Callable[[bytes], Any], value: bytes) -> str:
    """Why TensorFlow cannot apply the function, without its own bookkeeping; empty when it can."""
    try:
        function(value)
    except BAD_INPUT as error:
        return " ".join(re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", str(error)).split())[:200]
    return ""
