"""What the options of a check come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from efficientdet.check.split import coco_splits, shard_splits, voc_splits
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap


def test_coco_files_share_one_label_map(data) -> None:
    data.splits["val"]["categories"].append({"id": 9, "name": "bird"})
    pairs = [(data.file(name), data.root / name) for name in ("train", "val")]
    train, val = coco_splits(pairs)
    assert train.label_map == val.label_map
    assert train.label_map.names == ["cat", "dog", "bird"]
    assert train.classes == {1: 1, 2: 2, 9: 3}
    assert (train.name, val.name, train.images) == ("train", "val", data.root / "train")
    assert sum(1 for _ in train.read()) == sum(1 for _ in train.read()) == 13, "every pass starts anew"


def test_a_missing_image_folder_is_one_sentence(data) -> None:
    with pytest.raises(DataError, match="none: the image folder does not exist"):
        coco_splits([(data.file("train"), data.root / "none")])


def test_voc_sets_share_one_label_map(shared: Path) -> None:
    root = shared / "data/bccd/BCCD"
    splits = voc_splits(root, ["train", "ImageSets/Main/val.txt"])
    assert [split.name for split in splits] == ["train", "val"]
    assert splits[0].label_map.names == ["Platelets", "RBC", "WBC"]
    assert splits[0].images == root / "JPEGImages"
    assert [path.name for path in splits[0].lists] == ["test.txt", "train.txt", "trainval.txt", "val.txt"]


def test_shards_are_called_as_their_folder_or_their_pattern() -> None:
    shards = {"x/*": ["x/Split-train/1.gz"], "y/*": ["y/1.gz"], "z/*": ["z/Split-train/1.gz"]}
    splits = shard_splits(shards, LabelMap.from_names(["cat"]))
    assert [split.name for split in splits] == ["train (1)", "y/*", "train (3)"]
    assert all(split.images is None for split in splits)
