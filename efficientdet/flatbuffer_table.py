"""The parts of a flatbuffer, written by field number: for schemas of which there is no generated code.

Every function returns the offset of what it wrote, which must be finished before the table that holds it.
"""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np


def table(
    b: flatbuffers.Builder,
    slots: int,
    parts: dict[int, int],
    bytes_: dict[int, int] | None = None,
    integers: dict[int, int] | None = None,
    reals: dict[int, float] | None = None,
) -> int:
    """A table: by field number, offsets of finished parts, bytes and 32-bit numbers; all the others are absent."""
    b.StartObject(slots)
    for slot, value in parts.items():
        b.PrependUOffsetTRelativeSlot(slot, value, 0)
    for slot, value in (integers or {}).items():
        b.PrependUint32Slot(slot, value, 0)
    for slot, number in (reals or {}).items():
        b.PrependFloat32Slot(slot, number, 0.0)
    for slot, value in (bytes_ or {}).items():
        b.PrependUint8Slot(slot, value, 0)
    return int(b.EndObject())


def offsets(b: flatbuffers.Builder, parts: Sequence[int]) -> int:
    """A vector of finished parts."""
    b.StartVector(4, len(parts), 4)
    for part in reversed(parts):
        b.PrependUOffsetTRelative(part)
    return int(b.EndVector())


def strings(b: flatbuffers.Builder, texts: Sequence[str]) -> int:
    """A vector of texts."""
    return offsets(b, [b.CreateString(text) for text in texts])


def floats(b: flatbuffers.Builder, values: Sequence[float]) -> int:
    """A vector of float32."""
    return int(b.CreateNumpyVector(np.asarray(values, np.float32)))


def uints(b: flatbuffers.Builder, values: Sequence[int]) -> int:
    """A vector of uint32."""
    return int(b.CreateNumpyVector(np.asarray(values, np.uint32)))
