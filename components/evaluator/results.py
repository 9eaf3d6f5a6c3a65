"""The numbers that TensorFlow Model Analysis wrote, read back."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.slicer import slicer_lib

Slice = tuple[tuple[str, Any], ...]
"""TFMA's key of a slice: pairs of a feature's name and its value; `()` is the whole split."""
Measured = defaultdict[str, defaultdict[str, defaultdict[int | None, float | None]]]
"""Numbers by model ("" for a lone one), name and class id (None: all classes); None where there is none."""


def read_metrics(folder: str) -> Measured:
    """What was measured of the whole split: nothing but None when no image was scored."""
    return read_slices(folder).get((), _nothing())


def read_slices(folder: str) -> dict[Slice, Measured]:
    """What was measured of each slice that holds an image; differences are left out, NaN is None again."""
    slices: dict[Slice, Measured] = {}
    for record in tfma.load_metrics(folder):
        if record.HasField("cross_slice_key"):
            continue
        found = slices.setdefault(slicer_lib.deserialize_slice_key(record.slice_key), _nothing())
        for entry in record.metric_keys_and_values:
            if not entry.key.is_diff and entry.value.HasField("double_value"):
                class_id = entry.key.sub_key.class_id.value if entry.key.HasField("sub_key") else None
                value = entry.value.double_value.value
                found[entry.key.model_name][entry.key.name][class_id] = None if math.isnan(value) else value
    return slices


def _nothing() -> Measured:
    return defaultdict(lambda: defaultdict(lambda: defaultdict(lambda: None)))
