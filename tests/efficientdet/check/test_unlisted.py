"""Which files are found that no split lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from efficientdet.check.spill import Spill
from efficientdet.check.split import Split
from efficientdet.check.unlisted import note_listed, unlisted
from efficientdet.label_map import LabelMap


def split(name: str, root: Path, *lists: Path) -> Split:
    return Split("coco", name, f"{name}.json", lambda: iter(()), LabelMap.from_names(["cat"]), {}, root, lists=lists)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.PNG", "sub/c.jpeg", "notes.txt", "d.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def names(splits: list[Split], spill: Spill) -> set[tuple[str, str]]:
    return {(name, finding.record) for name, finding in unlisted(splits, spill)}


def test_images_that_no_split_of_the_folder_lists(folder: Path) -> None:
    train, val = split("train", folder), split("val", folder / "sub" / "..")
    with Spill() as spill:
        note_listed(train, "./a.jpg", spill)
        assert names([train, val], spill) == {("train", "b.PNG"), ("train", "sub/c.jpeg")}
        note_listed(val, "sub/c.jpeg", spill)
        assert names([train, val], spill) == {("train", "b.PNG")}
        assert names([split("other", folder / "sub")], spill) == {("other", "c.jpeg")}


def test_image_sets_beside_the_split_list_too(folder: Path) -> None:
    (folder / "test.txt").write_text("a  1\n\nsub/c -1\n")
    with Spill() as spill:
        assert names([split("train", folder, folder / "test.txt", folder / "none.txt")], spill) == {("train", "b.PNG")}


def test_shards_have_no_folder() -> None:
    shards = Split("examples", "train", "*", lambda: iter(()), LabelMap.from_names(["cat"]), {})
    with Spill() as spill:
        note_listed(shards, "a.jpg", spill)
        assert names([shards], spill) == set()
