"""A file is run as its consumers run it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientdet.detections import Detections
from efficientdet.infer import TFLiteDetector
from efficientdet.probe import TIMED, Answer, Job, probe

BLOCKED = """
import runpy, sys
sys.modules['tensorflow'] = None
sys.argv = ['probe', *sys.argv[1:]]
runpy.run_module('efficientdet.probe', run_name='__main__')
heavy = {'keras', 'matplotlib', 'tfx', 'mlflow'} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def images(tiny_export: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("images")
    for i, picture in enumerate(tiny_export.pictures[:3]):
        Image.fromarray(picture[: 40 + i]).save(folder / f"{i}.png")
    return [str(folder / f"{i}.png") for i in range(3)]


def job(tiny_export: Any, file: str, images: list[str]) -> Job:
    return Job(str(tiny_export.folder / file), str(tiny_export.folder), threads=1, compared=images, timed=images)


def same(answer: Answer, detections: Detections) -> bool:
    """Whether both found the same to the last bit."""
    ours = [(np.array(b, np.float32), np.array(s, np.float32), np.array(c)) for b, s, c in answer.found]
    return all(
        np.array_equal(a, b)
        for one, other in zip(ours, detections, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def test_a_tflite_file_needs_no_tensorflow(tiny_export: Any, images: list[str], tmp_path: Path):
    asked, answered = tmp_path / "job.json", tmp_path / "answer.json"
    asked.write_text(json.dumps(asdict(job(tiny_export, "model_int8.tflite", images))))
    subprocess.run([sys.executable, "-c", BLOCKED, str(asked), str(answered)], check=True)
    answer = Answer(**json.loads(answered.read_text()))
    assert (answer.faults, answer.error) == ([], "")
    pictures = [np.asarray(Image.open(image)) for image in images]
    assert same(answer, TFLiteDetector(tiny_export.folder / "model_int8.tflite", num_threads=1)(pictures))
    assert len(answer.latency_ms) == TIMED
    assert min(answer.latency_ms) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.json", "job.json"]


def test_a_saved_model_takes_the_images_as_they_are_stored(tiny_export: Any, images: list[str]):
    answer = probe(job(tiny_export, "Format-Serving", images))
    assert (answer.faults, answer.error) == ((), "")
    detect = tf.saved_model.load(str(tiny_export.folder / "Format-Serving")).signatures["serving_default"]
    raw = detect(tf.constant([Path(image).read_bytes() for image in images]))
    names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
    assert same(answer, Detections(*(raw[name].numpy() for name in names)))


def test_a_file_that_is_not_what_it_should_be_is_not_run(tiny_export: Any, images: list[str], tmp_path: Path):
    (tmp_path / "config.yaml").write_text(tiny_export.config.override("nms.max_detections=7").to_yaml())
    (tmp_path / "label_map.json").write_text(tiny_export.label_map.to_json())
    asked = Job(str(tiny_export.folder / "model_int8.tflite"), str(tmp_path), 1, images, images)
    answer = probe(asked)
    assert answer.faults[0].endswith("output detection_boxes is float32 [1, 20, 4], not float32 [1, 7, 4]")
    assert (answer.found, answer.latency_ms) == ((), ())


def test_what_its_runtime_cannot_do_is_told(tiny_export: Any, images: list[str], tmp_path: Path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    answer = probe(Job(str(tiny_export.folder / "model_int8.tflite"), None, 1, (), [*images, str(broken)]))
    assert "broken.png: not a readable image" in answer.error
    assert "there is no SavedModel" in probe(Job(str(tmp_path), None, 1, (), ())).error
