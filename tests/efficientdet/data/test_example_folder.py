"""A folder of examples is complete or not there, and accounts for every annotation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from efficientdet.data import ledger
from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation, Read
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.example_folder import (
    Source,
    example_count,
    is_current,
    new_example_folder,
    write_examples,
)
from efficientdet.data.input_pipeline import read_examples
from efficientdet.data.ledger import Finding
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap


@pytest.fixture
def source(coco: Path) -> Source:
    """The three images of `coco`."""
    path = coco / "annotations/instances_train.json"
    return Source(list(read_coco([path])), coco / "train", "", coco_label_map([path]), by_name=False)


def test_examples_are_dealt_out_in_turn(source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "deep/examples"
    with caplog.at_level(logging.INFO, "efficientdet"):
        write_examples(source, folder, 2, 0.0, key="k")
    assert sorted(path.name for path in folder.iterdir()) == [
        "data-00000-of-00002.gz",
        "data-00001-of-00002.gz",
        "info.json",
        "label_map.json",
        "ledger.json",
    ]
    ids = [
        [e["source_id"].decode() for e in read_examples(f"{folder}/data-0000{i}*").as_numpy_iterator()] for i in (0, 1)
    ]
    assert ids == [["1", "3"], ["2"]]
    assert LabelMap.load(folder) == source.label_map
    assert (example_count(folder), is_current(folder, "k"), is_current(folder, "l")) == (3, True, False)
    boxes = sum(len(entry.boxes) for entry in source.entries if isinstance(entry, ImageAnnotation))
    assert caplog.messages[-1] == f"{folder}: images 3 = 3 kept; boxes {boxes} = {boxes} kept"
    assert [path.name for path in folder.parent.iterdir()] == ["examples"]


def test_there_are_no_more_shards_than_images(source: Source, tmp_path: Path) -> None:
    write_examples(source, tmp_path / "examples", 100, 0.0)
    assert len(list((tmp_path / "examples").glob("*.gz"))) == 3


def test_what_was_dropped_is_said_aloud(source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stray = Finding("malformed row", "a.csv", "line 1", "the row names no image")
    *images, read = source.entries
    entries = [stray, replace(images[0], image="gone.jpg"), *images[1:], Read(3, read.boxes + 1)]
    write_examples(replace(source, entries=entries), tmp_path / "examples", 2, 0.9)
    [record] = [r for r in caplog.records if r.name.startswith("efficientdet")]
    assert record.levelno == logging.WARNING
    assert "images 3 = 2 kept + 1 dropped (1 missing image file); boxes " in record.getMessage()
    assert "1 malformed row); first: " in record.getMessage()
    [account] = ledger.load(tmp_path / "examples").values()
    assert account.boxes.dropped["malformed row"] == 1


def test_too_many_bad_records_leave_the_ledger_and_no_examples(source: Source, tmp_path: Path) -> None:
    entries = [replace(source.entries[0], image="gone.jpg"), *source.entries[1:]]
    with pytest.raises(DataError, match=r"1 of 3 images \(33\.3%\) cannot be used .* mend what .*refused\.json lists"):
        write_examples(replace(source, entries=entries), tmp_path / "examples", 2, 0.1)
    assert [path.name for path in tmp_path.iterdir() if "examples" in path.name] == ["examples-refused.json"]
    assert "gone.jpg" in (tmp_path / "examples-refused.json").read_text()


def test_what_was_not_counted_is_a_fault(source: Source, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 images were read, but 3 are accounted for"):
        write_examples(replace(source, entries=source.entries[:-1]), tmp_path / "examples", 2, 0.0)


def test_an_older_folder_is_replaced_and_a_strangers_is_not(source: Source, tmp_path: Path) -> None:
    write_examples(source, tmp_path / "examples", 2, 0.0)
    with new_example_folder(tmp_path / "examples", source.label_map, 1):
        pass
    assert example_count(tmp_path / "examples") == 0
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match=r"mine: exists and holds no examples of ours"):
        write_examples(source, tmp_path / "mine", 2, 0.0)
    (tmp_path / "examples/info.json").write_text("[]")
    with pytest.raises(DataError, match=r"info\.json: is damaged"):
        example_count(tmp_path / "examples")
    assert example_count(tmp_path / "mine") is None


def test_a_failure_leaves_the_older_folder(source: Source, tmp_path: Path) -> None:
    write_examples(source, tmp_path / "examples", 2, 0.0)
    with pytest.raises(KeyError), new_example_folder(tmp_path / "examples", source.label_map, 1):
        raise KeyError
    assert example_count(tmp_path / "examples") == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda source: replace(source, entries=source.entries[:2]),
        lambda source: replace(source, label_map=LabelMap.from_names(map(str, range(10)))),
        lambda source: (Path(source.root) / "000002.jpg").unlink() or source,
        lambda source: (Path(source.root) / "000002.jpg").write_bytes(b"other") and source,
        lambda source: replace(source, entries=[*source.entries, Finding("a", "b", "c", "d")]),
    ],
)
def test_the_key_changes_with_all_that_examples_depend_on(source: Source, change: Callable[[Source], Source]) -> None:
    before = source.key(1)
    assert source.key(1) == before != source.key(2)
    assert change(source).key(1) != before


def test_a_source_can_be_limited() -> None:
    boxes = [BoxAnnotation("object 1", "a", (0, 0, 1, 1), difficult=True), BoxAnnotation("object 2", "a", (0, 0, 1, 1))]
    images = [ImageAnnotation("a.xml", f"image {i}", str(i), "a.jpg", boxes=boxes) for i in range(3)]
    stray = Finding("malformed row", "a.csv", "line 1", "")
    source = Source([*images, stray], "", "", LabelMap.from_names("a"), by_name=True)
    assert source.first(2).entries == [stray, *images[:2], Read(2, 5)]
    assert source.first(None) is source.first(3) is source
    *easy, other, read = source.without_difficult().entries
    assert (other, read) == (stray, Read(3, 4))
    assert [[box.record for box in image.boxes] for image in easy] == [["object 2"]] * 3
