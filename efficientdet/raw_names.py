"""The names under which exported networks answer raw outputs, level by level from fine to coarse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

CLASS_LOGITS = "class_logits_"
BOX_DELTAS = "box_deltas_"
ANCHORS_FILE = "anchors.npy"
"""Packed behind a TFLite file of raw outputs: `[A, 4]` float32 yxyx pixels of the input, in the outputs' order."""
SEGMENTATION = "segmentation"

T = TypeVar("T")


def by_name(class_logits: Sequence[T], box_deltas: Sequence[T]) -> dict[str, T]:
    """The levels as `class_logits_0`, `class_logits_1` ..., `box_deltas_0` ..., in this order."""
    logits = {f"{CLASS_LOGITS}{i}": level for i, level in enumerate(class_logits)}
    return logits | {f"{BOX_DELTAS}{i}": level for i, level in enumerate(box_deltas)}


def by_level(named: Mapping[str, T]) -> tuple[list[T], list[T]]:
    """The inverse of `by_name`: class logits and box deltas per level; other names are left out."""
    levels = range(sum(name.startswith(CLASS_LOGITS) for name in named))
    return [named[f"{CLASS_LOGITS}{i}"] for i in levels], [named[f"{BOX_DELTAS}{i}"] for i in levels]
