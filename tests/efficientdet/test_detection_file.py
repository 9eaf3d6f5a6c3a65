"""What is found arrives in files as others read them, and half a file never appears."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from efficientdet.coco_image_ids import ImageIds
from efficientdet.detection_file import CocoFile, CsvFile, DetectionFile, JsonFile, JsonLinesFile
from efficientdet.detections import Found
from efficientdet.frame import BrokenFrame, Frame
from efficientdet.label_map import Label, LabelMap

LABELS = LabelMap([Label(1, "cat", 17), Label(2, "dög", 18)])
FOUND: Found = (
    np.array([[1, 2, 11, 22], [0, 0, 5, 5.5]], np.float32),
    np.array([0.9, 0.1], np.float32),
    np.array([2, 1], np.int32),
)
NONE: Found = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
IMAGE = np.zeros((30, 40, 3), np.uint8)
FRAMES = [
    Frame("a/000000000139.jpg", IMAGE, orientation=6),
    Frame("none.png", IMAGE),
    Frame("clip.mp4", IMAGE, number=7, seconds=0.28),
]
BROKEN = [BrokenFrame("cut.jpg", "cut.jpg: not a readable image"), BrokenFrame("clip.mp4", "noise", 8, 0.32)]
DETECTIONS = [
    {
        "class": "dög",
        "class_id": 2,
        "category_id": 18,
        "score": 0.9,
        "box": {"ymin": 1.0, "xmin": 2.0, "ymax": 11.0, "xmax": 22.0},
    },
    {
        "class": "cat",
        "class_id": 1,
        "category_id": 17,
        "score": 0.1,
        "box": {"ymin": 0.0, "xmin": 0.0, "ymax": 5.0, "xmax": 5.5},
    },
]
RECORDS = [
    {"file": "a/000000000139.jpg", "height": 30, "width": 40, "orientation": 6, "detections": DETECTIONS},
    {"file": "none.png", "height": 30, "width": 40, "detections": []},
    {"file": "clip.mp4", "frame": 7, "seconds": 0.28, "height": 30, "width": 40, "detections": DETECTIONS},
]
UNREADABLE = [
    {"file": "cut.jpg", "reason": "cut.jpg: not a readable image"},
    {"file": "clip.mp4", "frame": 8, "seconds": 0.32, "reason": "noise"},
]


def fill(file: DetectionFile) -> str:
    """Writes everything, a broken picture after the first, and returns the content."""
    with file:
        for frame, found in zip(FRAMES, (FOUND, NONE, FOUND), strict=True):
            file.write(frame, found)
            if frame is FRAMES[0]:
                file.skip(BROKEN[0])
        file.skip(BROKEN[1])
        assert not file.path.exists(), "it is written aside"
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]
    return file.path.read_text(encoding="utf-8")


def test_json_is_one_object(tmp_path: Path):
    answer = json.loads(fill(JsonFile(tmp_path / "new" / "out.json", LABELS, {"score_threshold": 0.05})))
    assert answer == {"score_threshold": 0.05, "images": RECORDS, "unreadable": UNREADABLE}


def test_json_without_any_picture(tmp_path: Path):
    with JsonFile(tmp_path / "out.json", LABELS, {"model": {}}):
        pass
    assert json.loads((tmp_path / "out.json").read_text()) == {"model": {}, "images": [], "unreadable": []}


def test_json_lines_are_in_the_order_of_the_pictures(tmp_path: Path):
    lines = [json.loads(line) for line in fill(JsonLinesFile(tmp_path / "out.jsonl", LABELS)).splitlines()]
    assert lines == [RECORDS[0], UNREADABLE[0], RECORDS[1], RECORDS[2], UNREADABLE[1]]


def test_coco_results(tmp_path: Path):
    entries = json.loads(fill(CocoFile(tmp_path / "out.json", LABELS)))
    expected = [(18, [2, 1, 20, 10], 0.9), (17, [0, 0, 5.5, 5], 0.1)]
    assert [entry["file_name"] for entry in entries] == ["a/000000000139.jpg"] * 2 + ["clip.mp4"] * 2
    assert [(e["image_id"], e["category_id"], e["bbox"], e["score"]) for e in entries] == [
        (image_id, *entry) for image_id in (139, 7) for entry in expected
    ]


def test_rows(tmp_path: Path):
    [first, *_, last] = csv.DictReader(fill(CsvFile(tmp_path / "out.csv", LABELS)).splitlines())
    assert first == {
        "file": "a/000000000139.jpg", "frame": "", "seconds": "", "class": "dög", "category_id": "18",
        "score": "0.9", "ymin": "1.0", "xmin": "2.0", "ymax": "11.0", "xmax": "22.0",
    }  # fmt: skip
    assert (last["file"], last["frame"], last["seconds"], last["class"]) == ("clip.mp4", "7", "0.28", "cat")


@pytest.mark.parametrize("kind", [lambda *a: JsonFile(*a, {}), JsonLinesFile, CocoFile, CsvFile])
def test_a_failure_leaves_the_old_file(kind: Callable[..., DetectionFile], tmp_path: Path):
    (tmp_path / "out").write_text("old")
    stranger = (*FOUND[:2], np.array([3, 1], np.int32))  # a class that the label map lacks
    with pytest.raises(KeyError), kind(tmp_path / "out", LABELS) as file:
        file.write(FRAMES[0], stranger)
    assert (tmp_path / "out").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_standard_output_is_written_at_once(capsys: pytest.CaptureFixture[str]):
    with JsonLinesFile("-", LABELS) as file:
        file.write(FRAMES[1], NONE)
        assert json.loads(capsys.readouterr().out) == RECORDS[1]


def test_equal_numbers_in_two_folders_are_two_images(tmp_path: Path):
    frames = [Frame(name, IMAGE) for name in ("a/1.jpg", "b/1.jpg", "b/2.jpg")]
    with CocoFile(tmp_path / "out.json", LABELS, ImageIds((frame.file, None) for frame in frames)) as file:
        for frame in frames:
            file.write(frame, FOUND)
    entries = json.loads((tmp_path / "out.json").read_text())
    assert [entry["image_id"] for entry in entries[::2]] == ["a/1.jpg", "b/1.jpg", 2]
    assert [entry["file_name"] for entry in entries[::2]] == ["a/1.jpg", "b/1.jpg", "b/2.jpg"]


def test_a_given_id_is_kept(tmp_path: Path):
    with JsonLinesFile(tmp_path / "out", LABELS) as file:
        file.write(Frame("1.jpg", IMAGE, image_id="x42"), NONE)
        file.skip(BrokenFrame("2.jpg", "cut", image_id="43"))
    ids = [json.loads(line)["image_id"] for line in (tmp_path / "out").read_text().splitlines()]
    assert ids == ["x42", "43"]


def test_a_format_without_a_way_to_write_is_none(tmp_path: Path) -> None:
    class Nothing(DetectionFile):
        """Cannot write."""

    with pytest.raises(TypeError, match=r"abstract method '?write'?"):
        Nothing(tmp_path / "none", LabelMap(()))  # type: ignore[abstract]
