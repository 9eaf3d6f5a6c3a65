"""`efficientdet infer`: its options, what it says, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.efficientdet.make_video import make_video
from tests.efficientdet.square_model import write_square_model

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_square_model(tmp_path_factory.mktemp("model") / "squares.tflite")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with two images, one of which is to be turned, and one that is cut off."""
    folder = tmp_path / "images"
    folder.mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    white = Image.fromarray(np.full((48, 64, 3), 255, np.uint8))
    white.save(folder / "1.png")
    white.save(folder / "2.jpg", exif=turned)
    (folder / "cut.jpg").write_bytes((folder / "2.jpg").read_bytes()[:300])
    return folder


@pytest.fixture
def run(squares: Path) -> Run:
    """The program, with the model."""
    program = "import sys; from efficientdet.cli import main; sys.exit(main())"
    root = Path(__file__).parents[2]

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "infer", f"--model={squares}", *map(str, words)]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    return call


def test_everything_at_once_under_both_spellings(run: Run, images: Path, tmp_path: Path):
    names = ("json", "json_lines", "coco", "csv")
    files = [f"--{name}={tmp_path / name}" for name in names]
    done = run(
        f"--input_image={images}/*", f"--output_image_dir={tmp_path / 'out'}", *files, "--min_score_thresh=0.5",
        "--max_boxes_to_draw=1", "--line_thickness=3", "--batch-size=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cut.jpg: skipped, " in done.stderr
    assert "1 images are read as stored, though their EXIF orientation has viewers turn them" in done.stderr
    assert done.stdout.startswith("2 detections in 2 images, 1 could not be read, ")
    assert f": {tmp_path}/out/detections.json, {tmp_path}/out/pictures, {tmp_path}/json, " in done.stdout
    [first, second] = json.loads((tmp_path / "json").read_text())["images"]
    assert (first["file"], second["file"], second["orientation"]) == ("1.png", "2.jpg", 6)
    assert [entry["image_id"] for entry in json.loads((tmp_path / "coco").read_text())] == [1, 2]
    assert len((tmp_path / "csv").read_text().splitlines()) == 3
    assert len((tmp_path / "json_lines").read_text().splitlines()) == 3


def test_standard_output_is_for_programs(run: Run, images: Path):
    done = run(f"--input={images}", "--json-lines=-")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == ["1.png", "2.jpg", "cut.jpg"]
    assert "2 detections in 2 images" in done.stderr


def test_exit_codes(run: Run, images: Path, tmp_path: Path):
    out = f"--output={tmp_path / 'out'}"
    strict = run(f"--input={images}", out, "--strict")
    assert strict.returncode == 3
    assert f"{images}: 1 of 3 pictures cannot be read" in strict.stderr
    assert (tmp_path / "out/detections.json").is_file(), "what could be done was done"
    nothing = run(f"--input={images / 'cut.jpg'}", out)
    assert nothing.returncode == 1
    assert nothing.stderr.endswith("not one of its 1 images can be read; give others\n")
    assert run(f"--input={tmp_path / 'none'}", out).returncode == 1
    for words in (
        [f"--input={images}"],
        [f"--input={images}", out, "--score=2"],
        [f"--input={images}", "--json=-", "--csv=-"],
    ):
        assert run(*words).returncode == 2


def test_a_video(run: Run, tmp_path: Path):
    pytest.importorskip("av")
    make_video(tmp_path / "clip.mp4", 12)
    done = run(f"--input_video={tmp_path / 'clip.mp4'}", f"--output={tmp_path / 'out'}", "--max-frames=5")
    assert done.returncode == 0, done.stderr
    assert "5 detections in 5 images" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip.mp4", "detections.jsonl"]


def test_a_camera_that_is_not_there(run: Run):
    pytest.importorskip("av")
    done = run("--input=camera:73", "--json-lines=-")
    assert done.returncode == 1
    assert "camera:73: the camera cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr
