"""Files of TFRecords as others write them: plain or gzip, whole or damaged."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import tensorflow as tf

from efficientdet.errors import DataError, reason

MAX_RECORD_BYTES = 1 << 30
HEADER_BYTES = 12  # of every record: its length in eight, their checksum in four
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Damage:
    """Stands for a record, or all from there on, that cannot be read; `message` says why."""

    message: str


def compression_of(path: str | Path) -> str | None:
    """`GZIP`, or empty for plain TFRecords, as the first bytes tell; None for a file without any.

    The path may be an address that TensorFlow knows. Raises DataError for a file that cannot be read or holds
    something else.
    """
    try:
        with tf.io.gfile.GFile(str(path), "rb") as file:
            head = file.read(HEADER_BYTES)
    except tf.errors.OpError as error:
        raise DataError(f"{path}: the TFRecord file cannot be read ({reason(error)}); check the path") from error
    if head.startswith(_GZIP):
        return "GZIP"
    if head and _length(head) is None:
        raise DataError(f"{path}: holds no TFRecords, neither plain nor gzip; give files that TensorFlow has written")
    return "" if head else None


def read_tfrecords(path: str | Path) -> Iterator[bytes | Damage]:
    """Every record of a file, one in memory at a time, and a Damage for each that cannot be read.

    After a record with a wrong checksum the file is not read further, and each that follows is a Damage too. One with
    a damaged length, or cut off, is the last: how many follow is not known. Raises DataError for a file that is
    missing or holds no TFRecords.
    """
    if "://" in str(path):
        raise DataError(f"{path}: is an address; copy the file here and name the copy")
    kind = compression_of(path) or ""
    whole, trouble = _frames(Path(path), kind)
    number = 0
    try:
        for record in tf.data.TFRecordDataset([str(path)], kind).take(whole).as_numpy_iterator():
            yield record
            number += 1
    except tf.errors.DataLossError:
        yield Damage(f"the record's checksum is wrong; the file is read no further, {number} of {whole} records were")
        number += 1
    yield from (Damage(f"the record follows a damaged one in a file of {whole}") for _ in range(number, whole))
    if trouble:
        yield Damage(f"{trouble}; the file ends there, after {whole} records")


def _frames(path: Path, kind: str) -> tuple[int, str]:
    """How many records there are, by their lengths, and what ends the file before its end.

    TensorFlow trusts any length whose checksum is right, and crashes on one that no memory can hold.
    """
    count = 0
    size = path.stat().st_size
    try:
        with gzip.open(path) if kind else path.open("rb") as file:
            while head := file.read(HEADER_BYTES):
                if trouble := _pass_over(file, head, None if kind else size):
                    return count, trouble
                count += 1
    except (OSError, EOFError, zlib.error) as error:
        return count, f"the file is damaged ({error})"
    return count, ""


def _pass_over(file: BinaryIO | gzip.GzipFile, head: bytes, size: int | None) -> str:
    """Moves behind the record after `head`; what is wrong with it, if anything."""
    length = _length(head)
    if length is None:
        return "the record is cut off" if len(head) < HEADER_BYTES else "the record's length is damaged"
    if length > MAX_RECORD_BYTES:
        return f"the record claims {length} bytes, more than {MAX_RECORD_BYTES}"
    end = file.tell() + length + 4
    return "the record is cut off" if (size is not None and end > size) or file.seek(end) != end else ""


def _length(head: bytes) -> int | None:
    """The length that a record's header gives; None when the checksum says that it is none."""
    crc = _crc32c(head[:8])
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    whole = len(head) >= HEADER_BYTES and masked == int.from_bytes(head[8:12], "little")
    return int.from_bytes(head[:8], "little") if whole else None


def _crc32c(data: bytes) -> int:
    """Castagnoli's checksum; bit by bit, as it is only ever asked for eight bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
