"""Which images a model was judged on: one hash over a split's ids and groundtruth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import numpy as np

from efficientdet.label_map import LabelMap
from efficientdet.scored_image import ScoredImage

TAG = "split_identity"
"""The tag of a registered version that keeps it."""
_DIGITS = 2  # after the point, of pixels: what the arithmetic of another machine may change is beyond


def split_identity(images: Iterable[ScoredImage], label_map: LabelMap) -> str:
    """First 16 hex digits of a sha256 over every image's id, size and annotations, their classes by name.

    The order of the images and of their annotations, and where the shards were cut, do not count.
    """
    digests = sorted(_digest(image, label_map) for image in images)
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


def split_change(theirs: str | None, ours: str) -> str:
    """How the split of identity `ours` differs from the one a model was judged on, in words; empty if it does not."""
    if theirs == ours:
        return ""
    return f"that was {theirs}, this is {ours}" if theirs else f"nobody kept which that was, this is {ours}"


def _digest(image: ScoredImage, label_map: LabelMap) -> bytes:
    truth = image.truth
    boxes = np.asarray(truth.boxes_xywh, float).reshape(-1, 4).round(_DIGITS) + 0.0  # no -0.0
    names = [label_map[int(c)].name for c in np.asarray(truth.classes)]
    crowds, areas = np.asarray(truth.is_crowd, bool).tolist(), np.asarray(truth.area, float).round(_DIGITS).tolist()
    difficult = [False] * len(names) if truth.difficult is None else np.asarray(truth.difficult, bool).tolist()
    rows = sorted(zip(names, boxes.tolist(), crowds, areas, difficult, strict=True))
    content = [image.image_id, image.height, image.width, rows]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")).digest()
