"""Records come out as they went in, of a damaged file all that can be had, and nothing ends the process."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from efficientdet.data.tfrecord_file import MAX_RECORD_BYTES, Damage, compression_of, read_tfrecords
from efficientdet.errors import DataError

RECORDS = [b"first", b"", b"third" * 1000, b"fourth", b"fifth"]
# A length of 2**40 and one of 2**62, each with the checksum TensorFlow gives it.
HUGE = [struct.pack("<QI", 1 << 40, 0xE46B3DAA), struct.pack("<QI", 1 << 62, 0x00F0857F)]


def begins() -> list[int]:
    """Where each record begins in a plain file, and its end."""
    places = [0]
    for record in RECORDS:
        places.append(places[-1] + 12 + len(record) + 4)
    return places


@pytest.fixture(params=["", "GZIP"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def file(tmp_path: Path, kind: str) -> Path:
    return written(tmp_path / "data.record", kind)


def written(path: Path, kind: str) -> Path:
    with tf.io.TFRecordWriter(str(path), kind or None) as writer:
        for record in RECORDS:
            writer.write(record)
    return path


def damaged(file: Path, kind: str, content: bytes) -> list[bytes | str]:
    """What is read of a plain file with this content, or of its gzip."""
    file.write_bytes(gzip.compress(content) if kind else content)
    return [record.message if isinstance(record, Damage) else record for record in read_tfrecords(file)]


def plain(file: Path, kind: str) -> bytearray:
    return bytearray(gzip.decompress(file.read_bytes()) if kind else file.read_bytes())


def test_what_was_written_is_read(file: Path, kind: str) -> None:
    assert compression_of(file) == kind
    assert list(read_tfrecords(file)) == RECORDS
    with tf.io.TFRecordWriter(str(file), kind or None):
        pass
    assert list(read_tfrecords(file)) == []


def test_a_wrong_checksum_ends_the_file_and_what_follows_is_counted(file: Path, kind: str) -> None:
    content = plain(file, kind)
    content[begins()[2] + 20] ^= 1
    says = "the record's checksum is wrong; the file is read no further, 2 of 5 records were"
    rest = ["the record follows a damaged one in a file of 5"] * 2
    assert damaged(file, kind, content) == [*RECORDS[:2], says, *rest]


def test_a_damaged_length_ends_the_file(file: Path, kind: str) -> None:
    content = plain(file, kind)
    content[begins()[2] + 1] ^= 1
    says = "the record's length is damaged; the file ends there, after 2 records"
    assert damaged(file, kind, content) == [*RECORDS[:2], says]


@pytest.mark.parametrize("left", [4, 12, 500])
def test_a_record_that_is_cut_off_is_the_last(file: Path, kind: str, left: int) -> None:
    says = "the record is cut off; the file ends there, after 2 records"
    assert damaged(file, kind, plain(file, kind)[: begins()[2] + left]) == [*RECORDS[:2], says]


@pytest.mark.parametrize("header", HUGE)
def test_a_length_that_no_memory_holds_does_not_end_the_process(file: Path, kind: str, header: bytes) -> None:
    content = plain(file, kind)[: begins()[2]] + header + b"content"
    says = f"the record claims {int.from_bytes(header[:8], 'little')} bytes, more than {MAX_RECORD_BYTES}"
    assert damaged(file, kind, content) == [*RECORDS[:2], f"{says}; the file ends there, after 2 records"]


def test_a_gzip_that_is_cut_off_or_damaged_ends_there(tmp_path: Path) -> None:
    file = written(tmp_path / "data.gz", "GZIP")
    whole = file.read_bytes()
    file.write_bytes(whole[:-6])
    *read, last = read_tfrecords(file)
    assert read == RECORDS
    assert last.message.startswith("the file is damaged (")
    file.write_bytes(whole[: len(whole) // 2])
    *read, last = read_tfrecords(file)
    assert read == RECORDS[: len(read)]
    assert isinstance(last, Damage)


@pytest.mark.parametrize("content", [b"hello, no records here", b"\x1f", b"\0" * 40, b"\xff\xd8\xff\xe0" * 9])
def test_what_holds_no_records_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match="a: holds no TFRecords, neither plain nor gzip; give files that"):
        next(read_tfrecords(tmp_path / "a"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"the TFRecord file cannot be read \(.*\); check the path"):
            next(read_tfrecords(path))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, begins()[-1] - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found_and_what_precedes_it_read(tmp_path: Path, place: int, bit: int) -> None:
    content = bytearray(written(tmp_path / "a", "").read_bytes())
    content[place] ^= 1 << bit
    number = sum(place >= start for start in begins()) - 1
    (tmp_path / "a").write_bytes(content)
    if place < 12:
        with pytest.raises(DataError, match="holds no TFRecords"):
            next(read_tfrecords(tmp_path / "a"))
        return
    read = list(read_tfrecords(tmp_path / "a"))
    assert read[:number] == RECORDS[:number]
    assert all(isinstance(record, Damage) for record in read[number:])
    assert len(read) in (number + 1, len(RECORDS))
