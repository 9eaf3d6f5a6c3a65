"""The fingerprint follows the content, not names of folders or times."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from efficientdet.data.fingerprint import (
    coco_fingerprint,
    csv_fingerprint,
    expand,
    tfod_fingerprint,
    voc_fingerprint,
    yolo_fingerprint,
)


@pytest.fixture
def of_coco(coco: Path) -> Callable[[], str]:
    return lambda: coco_fingerprint(coco, {"train": "annotations/instances_train.json"}, {"train": "train"})


def test_a_changed_byte_of_the_same_size_and_time_changes_it(coco: Path, of_coco: Callable[[], str]) -> None:
    before = of_coco()
    for path in (coco / "annotations/instances_train.json", coco / "train/000002.jpg"):
        data, times = path.read_bytes(), path.stat()
        path.write_bytes(data[:-3] + b" " + data[-2:])
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert of_coco() != before
        path.write_bytes(data)
        assert of_coco() == before


def test_a_touch_a_move_and_an_unlisted_file_do_not(coco: Path, of_coco: Callable[[], str]) -> None:
    before = of_coco()
    os.utime(coco / "train/000001.jpg", (1, 1))
    (coco / "train/unlisted.jpg").write_bytes(b"")
    assert of_coco() == before
    moved = shutil.copytree(coco, coco.parent / "moved")
    assert coco_fingerprint(moved, {"train": "annotations/instances_train.json"}, {"train": "train"}) == before


def test_a_missing_image_changes_it(coco: Path, of_coco: Callable[[], str]) -> None:
    before = of_coco()
    (coco / "train/000003.jpg").unlink()
    assert of_coco() != before


def test_it_works_on_a_broken_annotation_file(coco: Path, of_coco: Callable[[], str]) -> None:
    (coco / "annotations/instances_train.json").write_text("{")
    before = of_coco()
    (coco / "train/unlisted.jpg").write_bytes(b"")
    assert of_coco() != before, "the image folder is hashed whole"


def test_nothing_outside_the_data_folder_is_read(coco: Path, edit, of_coco: Callable[[], str]) -> None:
    secret = coco.parent / "secret"
    secret.write_text("a")
    edit(lambda d: d["images"][0].update(file_name="../../secret"))
    before = of_coco()
    secret.write_text("b")
    assert of_coco() == before


def test_a_link_out_of_an_image_folder_that_is_hashed_whole_is_not_followed(
    coco: Path, of_coco: Callable[[], str]
) -> None:
    (coco / "annotations/instances_train.json").write_text("{")
    before = of_coco()
    (coco / "train/link.jpg").symlink_to(coco.parent)
    (coco / "train/other.jpg").symlink_to(Path(__file__))
    assert of_coco() == before


def test_of_what_is_not_there_nothing_is_known(tmp_path: Path) -> None:
    for base in (tmp_path, tmp_path / "none"):
        assert coco_fingerprint(base, {"train": "*/train.json"}, {"train": "train"}) == ""
        assert voc_fingerprint(base, {"train": "train"}) == ""
        assert csv_fingerprint(base, "boxes.csv") == ""
        assert yolo_fingerprint(base, {"train": "train"}) == ""
        assert tfod_fingerprint(base, {"train": "train-*"}, "labels.pbtxt") == ""


def test_a_pipe_is_not_waited_for(coco: Path, of_coco: Callable[[], str]) -> None:
    (coco / "train/000003.jpg").unlink()
    before = of_coco()
    os.mkfifo(coco / "train/000003.jpg")
    assert of_coco() == before


def test_voc_follows_lists_annotations_and_images(voc: Path) -> None:
    prints = [voc_fingerprint(voc, {"train": "train"})]
    for name in ("JPEGImages/000001.jpg", "Annotations/000002.xml", "ImageSets/Main/train.txt"):
        path = voc / name
        path.write_bytes(path.read_bytes() + b" ")
        prints.append(voc_fingerprint(voc, {"train": "ImageSets/Main/train.txt"}))
    assert len(set(prints)) == 4


def test_patterns_may_be_globs_spans_or_absolute(coco: Path) -> None:
    file = coco / "annotations/instances_train.json"
    for pattern in ("annotations/*.json", "{SPAN}/instances_train.json", str(file)):
        assert expand(coco, pattern) == [file]
    assert expand(coco, "") == [coco]
    assert expand(coco, "none/*") == []
