"""What one worker does with a shard."""

from __future__ import annotations

import dataclasses
import io
from array import array
from pathlib import Path

import pytest

from components.example_gen.entry_file import read_entries, write_entries, write_index
from components.example_gen.write_shard import Shard, SplitWork, WriteShard
from efficientdet.data.coco import coco_label_map, read_coco

TRAIN = "annotations/instances_train.json"


def test_entries_are_dealt_out_in_turn_and_found_again(demo: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "entries")
    offsets, _ = write_entries(read_coco([demo / TRAIN]), path, io.StringIO())
    [whole] = write_index(path, offsets, 1)
    images = [entry.image for entry in read_entries(path, whole)]
    assert len(images) == 6
    dealt = write_index(path, offsets, 4)
    assert [[entry.image for entry in read_entries(path, places)] for places in dealt] == [
        images[0::4],
        images[1::4],
        images[2::4],
        images[3::4],
    ]
    assert [len(places) for places in write_index(path, array("q"), 1)] == [0]


def test_a_repeated_shard_gives_the_same_bytes_and_a_failed_one_leaves_nothing(demo: Path, tmp_path: Path) -> None:
    labels = coco_label_map([demo / TRAIN])
    classes = {label.category_id: label.id for label in labels}
    entries, out = str(tmp_path / "entries"), tmp_path / "out"
    offsets, _ = write_entries(read_coco([demo / TRAIN]), entries, io.StringIO())
    writer = WriteShard(str(out), {"train": SplitWork(entries, str(demo), "train", classes, False, None)}, labels)
    shard = Shard("train", 0, 1, range(6))

    def write(offsets: array[int]) -> dict[str, bytes]:
        [places] = write_index(entries, offsets, 1)
        list(writer.process(dataclasses.replace(shard, places=places)))
        return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    with pytest.raises(Exception, match="end of file"):
        write(offsets + array("q", [10**9]))
    assert not [path for path in out.rglob("*") if path.is_file()]
    assert writer.missing([shard]) == [shard]
    first = write(offsets)
    assert sorted(first) == ["Split-train/data_tfrecord-00000-of-00001.gz", "aside/train-00000-of-00001.json"]
    assert write(offsets) == first
    assert writer.missing([shard]) == []
