"""What --fix refuses, and that a run that fails leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from efficientdet.check.inspection import check_splits
from efficientdet.check.split import coco_splits, shard_splits, voc_splits
from efficientdet.config import Config
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap


def test_without_a_folder_nothing_is_written(data) -> None:
    before = sorted(data.root.rglob("*"))
    assert data.check().fixed == []
    assert sorted(data.root.rglob("*")) == sorted([*before, data.root / "train.json", data.root / "val.json"])


def test_nothing_is_overwritten(data, tmp_path: Path) -> None:
    target = tmp_path / "clean" / "train.json"
    target.parent.mkdir()
    target.write_text("mine")
    with pytest.raises(DataError, match="is there already"):
        data.check(fix=target.parent)
    assert target.read_text() == "mine"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("folder", ["data", "."])
def test_not_where_the_input_is(data, tmp_path: Path, folder: str) -> None:
    with pytest.raises(DataError, match="holds the input"):
        data.check(fix=tmp_path / folder)


def test_files_of_one_name_do_not_meet(data, tmp_path: Path) -> None:
    other = tmp_path / "other" / "train.json"
    other.parent.mkdir()
    other.write_bytes(data.file("train").read_bytes())
    splits = coco_splits([(data.file("train"), data.root / "train"), (other, data.root / "train")])
    assert [split.name for split in splits] == ["train (1)", "train (2)"]
    with pytest.raises(DataError, match="same name"):
        check_splits(splits, Config(), fix=tmp_path / "clean")


def test_shards_are_made_again_instead(tmp_path: Path) -> None:
    splits = shard_splits({"a/*": ["a/1.gz"]}, LabelMap.from_names(["cat"]))
    with pytest.raises(DataError, match=r"a/\*: shards are not mended"):
        check_splits(splits, Config(), fix=tmp_path / "clean")


def test_a_failed_run_leaves_nothing(data, tmp_path: Path) -> None:
    splits = coco_splits([(data.file("train"), data.root / "train"), (data.file("val"), data.root / "val")])
    (data.root / "val.json").write_text("{")
    with pytest.raises(DataError):
        check_splits(splits, Config(), fix=tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_voc_needs_its_folders_free(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "ImageSets").mkdir()
    splits = voc_splits(shared / "data/bccd/BCCD", ["val"])
    with pytest.raises(DataError, match="ImageSets: is there already"):
        check_splits(splits, Config(), fix=tmp_path)
