"""Shards become a COCO result file that `efficientdet evaluate` takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from components.bulk_inferrer import bulk_infer, check_coco_target, read_detections, write_coco
from efficientdet.coco_results import CocoResults
from efficientdet.data.coco_groundtruth import CocoGroundtruth
from efficientdet.errors import ConfigError, DataError
from efficientdet.infer import Outputs, run_infer
from tests.components.bulk_inferrer.test_job import HERE


def test_coco_results_are_read_by_the_evaluation(squares: Path, examples: str, tmp_path: Path):
    bulk_infer(squares, tmp_path / "out", HERE, examples=examples, shards=3)
    assert write_coco(tmp_path / "out", tmp_path / "results.json") == 11
    images = [{"id": 1000 + n, "file_name": f"{n}.png", "height": 40 + n, "width": 60} for n in range(11)]
    truth = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "square"}]}
    (tmp_path / "instances.json").write_text(json.dumps(truth))
    results = CocoResults(tmp_path / "results.json", CocoGroundtruth(tmp_path / "instances.json"))
    assert (results.detections, results.strangers) == (11, 0)
    boxes, classes, scores = results["1004"]
    assert classes.tolist() == [1]
    assert scores == pytest.approx([140 / 255], abs=1e-6)
    # 60x44 fits the 64x64 input at scale 64/60: its upper left quarter is 30x30 pixels of the image
    assert boxes.tolist() == [[0, 0, 30, 30]]


def test_bulk_and_single_inference_call_images_alike(squares: Path, images: Path, tmp_path: Path):
    for place in ("a/1.png", "b/1.png", "b/2.png", "c/x.png"):
        (tmp_path / "images" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images / "003.png", tmp_path / "images" / place)
    bulk_infer(squares, tmp_path / "out", HERE, images=str(tmp_path / "images"), shards=3)
    write_coco(tmp_path / "out", tmp_path / "bulk.json")
    run_infer(squares, tmp_path / "images", Outputs(coco=tmp_path / "single.json"))
    bulk, single = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("bulk", "single"))
    for entries in (bulk, single):
        assert [entry["image_id"] for entry in entries] == ["a/1.png", "b/1.png", 2, "c/x.png"]
        assert [entry["file_name"] for entry in entries] == ["a/1.png", "b/1.png", "b/2.png", "c/x.png"]


def test_what_is_not_finished_is_no_result(squares: Path, images: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no summary\.json, so no inference ended here"):
        list(read_detections(tmp_path))
    bulk_infer(squares, tmp_path / "out", HERE, images=str(images))
    [shard] = (tmp_path / "out").glob("*.gz")
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(DataError, match="is damaged"):
        write_coco(tmp_path / "out", tmp_path / "results.json")
    assert not (tmp_path / "results.json").exists()


def test_where_results_cannot_be_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for target, says in (
        (tmp_path / "file/results.json", r"results\.json: cannot be written \(File exists: .*/file\); name another"),
        (tmp_path / "folder", r"folder: cannot be written \(Is a directory: .*/folder\)"),
        (tmp_path / "out", "out: is read, or the folder of the detections"),
        (tmp_path / "folder/../model.tflite", r"model\.tflite: is read, or the folder"),
    ):
        with pytest.raises(ConfigError, match=says):
            check_coco_target(target, tmp_path / "out", tmp_path / "model.tflite")
    check_coco_target(tmp_path / "new/results.json", tmp_path / "out", tmp_path / "model.tflite")
    check_coco_target(tmp_path / "out/results.json", tmp_path / "out", tmp_path / "model.tflite")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "new"]
