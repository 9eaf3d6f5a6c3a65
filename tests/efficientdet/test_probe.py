"""A file is run as its consumers run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from efficientdet.probe import TIMED, Answer, Job, probe
from efficientdet.tflite_detector import TFLiteDetector

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


def test_a_tflite_file_needs_no_tensorflow(tiny_export: Any, images: list[str], tmp_path: Path):
    asked, answered = tmp_path / "job.json", tmp_path / "answer.json"
    file, bundle = str(tiny_export.folder / "model_int8.tflite"), str(tiny_export.folder)
    asked.write_text(json.dumps(asdict(Job(file, bundle, threads=1, compared=images, timed=images))))
    subprocess.run([sys.executable, "-c", BLOCKED, str(asked), str(answered)], check=True)
    answer = Answer(**json.loads(answered.read_text()))
    assert (answer.faults, answer.error) == ([], "")
    pictures = [np.asarray(Image.open(image)) for image in images]
    expected = TFLiteDetector(file, num_threads=1)(pictures)
    for (boxes, scores, classes), image in zip(answer.found, expected, strict=True):
        found = (np.array(boxes, np.float32), np.array(scores, np.float32), np.array(classes))
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(found, image, strict=True))
    assert len(answer.latency_ms) == TIMED
    assert min(answer.latency_ms) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.json", "job.json"]


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


def test_it_ends_with_the_process_that_asked(tmp_path: Path):
    endless = "import os, sys; from efficientdet.probe import _die_with_parent as die; die(); "
    endless += f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()) + '.')\nwhile True: pass"
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {endless!r}])"]
    )
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().endswith("."):
        time.sleep(0.01)
    child = int((tmp_path / "pid").read_text()[:-1])
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 60
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(child)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().split()[2] != "Z"
    except OSError:
        return False
