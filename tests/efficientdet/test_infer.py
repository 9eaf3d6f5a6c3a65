"""The verb `infer`: every kind of input and of model, and memory that does not grow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from efficientdet.camera import Camera
from efficientdet.checkpoint import save_detector
from efficientdet.detector_file import open_detector
from efficientdet.errors import ConfigError, DataError
from efficientdet.frame import BrokenFrame, Frame
from efficientdet.image_source import ImageFiles
from efficientdet.infer import Outputs, detect_frames, run_infer
from efficientdet.video import Video
from tests.efficientdet.make_video import damage_frames, make_video
from tests.efficientdet.square_model import write_square_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_square_model(tmp_path_factory.mktemp("model") / "squares.tflite")


@pytest.fixture
def images(tmp_path: Path, tiny_export: Any) -> Path:
    """A folder with a JPEG, a PNG in a subfolder, a GIF, a broken JPEG and a text file."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    first, second, third = (Image.fromarray(picture) for picture in tiny_export.pictures[:3])
    first.save(folder / "a.jpg")
    second.resize((90, 45)).save(folder / "sub" / "b.PNG")
    third.save(folder / "c.gif")
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:600])
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_gives_json_and_pictures_and_goes_on_after_a_broken_image(
    tiny_export: Any, images: Path, tmp_path: Path
):
    model, told = tiny_export.folder / "model_int8.tflite", list[BrokenFrame]()
    done = run_infer(model, images, tmp_path / "out", score_threshold=0.1, batch_size=2, tell=told.append)
    assert (done.images, done.broken) == (3, 1)
    assert list(done.unreadable) == ["broken.jpg"] == [each.file for each in told]
    assert list(done.files) == [tmp_path / "out/detections.json", tmp_path / "out/pictures"]
    answer = json.loads((tmp_path / "out/detections.json").read_text())
    assert answer["model"]["labels"] == tiny_export.label_map.hash
    assert [image["file"] for image in answer["images"]] == ["a.jpg", "c.gif", "sub/b.PNG"]
    assert [file["file"] for file in answer["unreadable"]] == ["broken.jpg"]
    assert done.detections == sum(len(image["detections"]) for image in answer["images"]) > 0
    best = answer["images"][0]["detections"][0]
    assert best["class"] in ("cat", "dog", "bird")
    assert best["score"] >= 0.1
    assert Image.open(tmp_path / "out/pictures/sub/b.PNG").size == (90, 45)


def test_one_image_and_a_run_into_its_own_folder(squares: Path, images: Path):
    assert run_infer(squares, images / "a.jpg", images).images == 1
    assert run_infer(squares, images, images).images == 3, "pictures of the first run are no input"
    first = (images / "a.jpg").read_bytes()
    assert (images / "pictures" / "a.jpg").read_bytes() != first


def test_what_is_read_is_never_replaced(squares: Path, images: Path, tmp_path: Path):
    run_infer(squares, images, images)
    clip = make_video(tmp_path / "clip.mp4", 3)
    before = {path: path.read_bytes() for path in (images / "pictures/a.jpg", clip)}
    for read, output in ((images / "pictures/a.jpg", images), (clip, tmp_path)):
        with pytest.raises(ConfigError, match="is read, and would be replaced by what is found in it"):
            run_infer(squares, read, output)
    with pytest.raises(ConfigError, match="two kinds of detections would be written there"):
        run_infer(squares, images, Outputs(folder=tmp_path, json=tmp_path / "sub/../detections.json"))
    assert {path: path.read_bytes() for path in before} == before


def test_names_that_are_no_utf_8_are_written_as_escapes(squares: Path, images: Path, tmp_path: Path):
    for name in (b"caf\xe9.jpg", b"na\xefve.jpg"):
        (images / os.fsdecode(name)).write_bytes((images / "a.jpg").read_bytes()[: 600 if b"na" in name else None])
    done = run_infer(squares, images, Outputs(tmp_path / "out", csv=tmp_path / "out.csv"))
    assert (done.images, done.broken) == (4, 2)
    answer = json.loads((tmp_path / "out/detections.json").read_text())
    assert r"caf\xe9.jpg" in [image["file"] for image in answer["images"]]
    assert answer["unreadable"][1]["file"] == r"na\xefve.jpg"


def test_two_runs_at_once_leave_a_whole_file(squares: Path, images: Path, tmp_path: Path):
    code = f"from efficientdet.infer import run_infer; run_infer({str(squares)!r}, {str(images)!r}, {str(tmp_path)!r})"
    runs = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert len(json.loads((tmp_path / "detections.json").read_text())["images"]) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"detections.json", "pictures", "images"}


def test_every_kind_of_model_finds_the_same(
    tiny_export: Any, frozen_export: Path, images: Path, tmp_path: Path
) -> None:
    save_detector(tmp_path / "run/detector", tiny_export.model, tiny_export.config, tiny_export.label_map)
    found = {}
    for name, model in {
        "SavedModel": tiny_export.folder / "Format-Serving",
        "frozen graph": frozen_export,
        "checkpoint": tmp_path / "run",
    }.items():
        run_infer(model, images, Outputs(json=tmp_path / "out.json"), score_threshold=0.1)
        found[name] = json.loads((tmp_path / "out.json").read_text())["images"]
    for name in ("frozen graph", "checkpoint"):
        for image, other in zip(found["SavedModel"], found[name], strict=True):
            assert image["file"] == other["file"]
            best, theirs = image["detections"][0], other["detections"][0]
            assert best["class"] == theirs["class"]
            assert best["score"] == pytest.approx(theirs["score"], abs=1e-4)


def test_a_video_gives_lines_and_a_video(squares: Path, tmp_path: Path):
    clip = make_video(tmp_path / "clip.mp4", 30)
    [time] = damage_frames(clip, tmp_path / "damaged.mp4", 25)
    done = run_infer(squares, tmp_path / "damaged.mp4", tmp_path / "out", batch_size=4)
    assert (done.images, done.broken) == (29, 1)
    lines = [json.loads(line) for line in (tmp_path / "out/detections.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(30))
    [broken] = [line for line in lines if "reason" in line]
    assert broken["seconds"] == time
    box = lines[3]["detections"][0]["box"]
    assert box == {"ymin": 0, "xmin": 0, "ymax": 32, "xmax": 32}
    drawn = [frame for frame in Video(tmp_path / "out/damaged.mp4", "") if isinstance(frame, Frame)]
    assert len(drawn) == 29
    assert [frame.seconds for frame in drawn] == [line["seconds"] for line in lines if "reason" not in line]


def test_batches_change_nothing(tiny_export: Any, images: Path):
    detector = open_detector(tiny_export.folder / "model_int8.tflite")
    alone, together = (list(detect_frames(detector, ImageFiles(images), 0.1, count)) for count in (1, 10))
    assert len(alone) == len(together) == 4
    for one, other in zip(alone, together, strict=True):
        if isinstance(one, BrokenFrame):
            assert one == other
        else:
            assert one[0].file == other[0].file
            np.testing.assert_array_equal(one[1][0], other[1][0])


def test_a_camera_runs_until_it_is_stopped(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """FFmpeg's picture generator in the place of a device; Ctrl-C ends it, and all files are there."""
    pytest.importorskip("av")
    generator = Camera("lavfi", "testsrc=size=64x48:rate=10", {})
    monkeypatch.setattr("efficientdet.frame_source.camera_of", lambda _: generator)
    done = run_infer(squares, "camera:0", tmp_path / "some", max_frames=5)
    assert done.images == 5
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    done = run_infer(squares, "camera:0", tmp_path / "out")
    lines = (tmp_path / "out/detections.jsonl").read_text().splitlines()
    assert done.images == len(lines) > 0
    assert (tmp_path / "out/camera.mp4").is_file()


def test_what_cannot_be_done_is_a_sentence(squares: Path, images: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="no output is named"):
        run_infer(squares, images, Outputs())
    with pytest.raises(DataError, match="there is no such file or folder"):
        run_infer(squares, tmp_path / "nowhere", tmp_path / "out")


def test_memory_stays_flat_over_a_long_video(squares: Path, tmp_path: Path):
    """Peak memory after twice as many frames, in a process of its own; kept, they would take 55 MB more."""
    peaks = []
    for frames in (300, 600):
        clip = make_video(tmp_path / f"{frames}.mp4", frames, 192, 320)
        program = (
            "import resource, sys; from efficientdet.infer import run_infer; "
            f"done = run_infer({str(squares)!r}, {str(clip)!r}, {str(tmp_path / 'out')!r}, batch_size=4); "
            f"assert done.images == {frames}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        peaks.append(int(run.stdout) / 1024)
    assert peaks[1] - peaks[0] < 20, peaks


def test_no_tensorflow_is_imported(squares: Path, images: Path, tmp_path: Path):
    program = (
        "import sys, pathlib, efficientdet.bundle, efficientdet.infer as infer; "
        f"infer.run_infer(*map(pathlib.Path, {[str(squares), str(images), str(tmp_path / 'out')]!r})); "
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'tfx', 'mlflow', 'av'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
