"""What a pattern given to a command stands for, and what is wrong with it."""

from __future__ import annotations

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
