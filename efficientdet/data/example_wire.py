"""tf.train.Example in protobuf's wire format, written without building its messages, which takes most of the time.

The format: developers.google.com/protocol-buffers/docs/encoding; the messages: tensorflow/core/example/feature.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

_BYTES, _FLOATS, _INTS = 1, 2, 3
"""Numbers of the kinds of lists in a Feature."""


def bytes_feature(values: Iterable[bytes]) -> bytes:
    """A Feature of byte strings."""
    return delimited(_BYTES, b"".join([delimited(1, value) for value in values]))


def floats_feature(values: bytes) -> bytes:
    """A Feature of float32, given in little-endian order."""
    return delimited(_FLOATS, delimited(1, values) if values else b"")


def ints_feature(values: Iterable[int]) -> bytes:
    """A Feature of int64, none of them negative."""
    packed = b"".join([varint(value) for value in values])
    return delimited(_INTS, delimited(1, packed) if packed else b"")


def example(features: Mapping[str, bytes], last_key: str, last_value: bytes) -> bytes:
    """An Example.

    Args:
      features: a Feature by its key.
      last_key: the key of a further feature, which holds one byte string.
      last_value: that string; it is copied once, whatever its size.
    """
    entries = b"".join([delimited(1, _key(key) + delimited(2, value)) for key, value in features.items()])
    # From the inside out: the value in its list, the list in its feature, that in its entry, all in the example.
    size, heads = len(last_value), b""
    for field, before in ((1, b""), (_BYTES, b""), (2, _key(last_key)), (1, entries), (1, b"")):
        heads = before + head(field, len(heads) + size) + heads
    return heads + last_value


def delimited(field: int, content: bytes) -> bytes:
    """A field of that number: a string, a message or packed numbers."""
    return head(field, len(content)) + content


def head(field: int, length: int) -> bytes:
    """What stands before the content of a field."""
    return bytes((field << 3 | 2, length)) if length < 0x80 else bytes((field << 3 | 2,)) + varint(length)


def varint(number: int) -> bytes:
    """A number of at least 0, seven bits a byte, the lowest first."""
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


@lru_cache(maxsize=256)
def _key(key: str) -> bytes:
    return delimited(1, key.encode())
