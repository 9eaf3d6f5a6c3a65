"""What a pattern given to a command stands for, and what is wrong with it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import tensorflow as tf

from efficientdet.cli_shards import example_shards, label_map_of, readable_shards
from efficientdet.data.input_pipeline import read_examples
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap


def test_shards_come_sorted_with_their_sizes(digit_shards: Path):
    found = example_shards(f"{digit_shards}/Split-train/*")
    assert list(found) == sorted(str(path) for path in (digit_shards / "Split-train").iterdir())
    assert all(size == Path(name).stat().st_size for name, size in found.items())


def test_the_label_map_lies_beside_or_above_or_where_it_is_said(digit_shards: Path, tmp_path: Path):
    shard = next(iter(example_shards(f"{digit_shards}/Split-train/*")))
    assert label_map_of(None, shard) == LabelMap.load(digit_shards)
    (tmp_path / "label_map.json").write_text(LabelMap.from_names(["cat"]).to_json())
    assert label_map_of(tmp_path, shard).names == ["cat"]
    with pytest.raises(DataError, match=r"holds no label_map.json, the classes of the examples"):
        label_map_of(tmp_path / "none", shard)


def test_a_label_map_of_foreign_records_must_have_our_ids(tmp_path: Path):
    path = tmp_path / "label_map.pbtxt"
    path.write_text("item { id: 2 name: 'dog' } item { id: 1 name: 'cat' }")
    assert label_map_of(path, "").names == ["cat", "dog"]
    assert label_map_of(None, str(tmp_path / "a.record")).names == ["cat", "dog"]
    path.write_text("item { id: 3 name: 'dog' } item { id: 1 name: 'cat' }")
    with pytest.raises(DataError, match=r"label_map.pbtxt: has no class 2, but training needs ids without gaps; make"):
        label_map_of(path, "")


def test_shards_are_gzip_or_plain_but_not_both(digit_shards: Path, tmp_path: Path):
    names = list(example_shards(f"{digit_shards}/Split-train/*"))
    plain = tmp_path / "1.record"
    plain.write_bytes(gzip.decompress(Path(names[0]).read_bytes()))
    (tmp_path / "0.record").touch()  # TensorFlow writes none otherwise
    assert list(example_shards(f"{tmp_path}/*")) == [str(tmp_path / "0.record"), str(plain)]
    (tmp_path / "2.record").write_bytes(Path(names[0]).read_bytes())
    with pytest.raises(DataError, match=r"2.record: is a gzip TFRecord, but .*1.record is a plain one; match"):
        example_shards(f"{tmp_path}/*")


def records(folder: Path, *contents: bytes) -> str:
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for content in contents:
            writer.write(content)
    return str(folder / "data.gz")


def test_a_record_that_is_no_example_is_a_sentence(tmp_path: Path):
    pattern = records(tmp_path, b"\x0anothing of the kind")
    says = r"data.gz: a record cannot be read \(.*parse example.*\); make the shards again"
    with pytest.raises(DataError, match=says), readable_shards(pattern):
        list(read_examples(pattern))


def test_what_is_no_records_fault_is_not_blamed_on_them():
    with pytest.raises(tf.errors.InvalidArgumentError), readable_shards("data.gz"):
        tf.reshape(tf.zeros([3]), [2])
