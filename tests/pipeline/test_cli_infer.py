"""`efficientdet-pipeline infer`: engines, exit codes, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from components.bulk_inferrer import job
from components.bulk_inferrer.detect_shard import DetectShard
from components.bulk_inferrer.work import Shard
from pipeline.cli import main
from tests.efficientdet.square_model import write_square_model


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """The command with a model, and a folder with two images, of which one is cut off."""
    write_square_model(tmp_path / "squares.tflite")
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((32, 64, 3), 255, np.uint8)).save(tmp_path / "images/7.png")
    (tmp_path / "images/cut.png").write_bytes((tmp_path / "images/7.png").read_bytes()[:50])
    fixed = [f"--model={tmp_path / 'squares.tflite'}", f"--output={tmp_path / 'out'}"]
    return lambda *words: CliRunner().invoke(main, ["infer", *fixed, *words])


def test_a_folder_on_this_machine(run: Callable[..., Result], tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("name: mine\nbeam: {retries: 0}\nsource: {}\n")
    words = [f"--input={tmp_path / 'images'}", f"--coco={tmp_path / 'results.json'}", "--min_score_thresh=0.9"]
    result = run(*words, f"--config={tmp_path / 'mine.yaml'}", "--set=beam.patience=5")
    assert result.exit_code == 0, result.output
    assert "cut.png: skipped, " in result.output
    assert f"1 detections in 1 images, 1 could not be read: {tmp_path / 'out'}, 1 shards" in result.output
    [entry] = json.loads((tmp_path / "results.json").read_text())
    square = {"category_id": 1, "bbox": [0.0, 0.0, 32.0, 32.0], "score": 1.0}
    assert entry == {"image_id": 7, **square, "file_name": "7.png"}
    again = run(*words)
    assert again.exit_code == 1
    assert "out: is there already; name a new folder" in again.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give either --input, for image files, or --examples"),
        (["--input=a", "--examples=b"], "give either --input"),
        (["--input=a", "--set=beam.worker=2"], "did you mean beam.workers"),
        (["--input=a", "--set=beam.runner=FlinkRunner"], "needs --flink_master"),
        (["--input=a", "--set=beam.args=[--numworkers=3]"], "Beam knows no --numworkers"),
        (["--input=a", "--shards=0"], "--shards"),
    ],
)
def test_wrong_usage(run: Callable[..., Result], words: list[str], says: str):
    result = run(*words)
    assert result.exit_code == 2
    assert says in result.output


def test_a_model_that_is_not_there(run: Callable[..., Result], tmp_path: Path):
    result = run(f"--input={tmp_path / 'images'}", f"--model={tmp_path / 'none.tflite'}")
    assert result.exit_code == 1
    assert "none.tflite: there is no such file" in result.output


def test_a_result_file_that_cannot_be_is_said_before_the_work(run: Callable[..., Result], tmp_path: Path):
    result = run(f"--input={tmp_path / 'images'}", f"--coco={tmp_path / 'squares.tflite/results.json'}")
    assert result.exit_code == 1
    assert f"results.json: cannot be written (File exists: {tmp_path / 'squares.tflite'}); name ano" in result.output
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.partial").exists()


def test_a_result_file_that_fails_later_loses_nothing(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TakesThePlace(DetectShard):
        """Somebody makes a folder where the result file is to be."""

        def process(self, shard: Shard) -> Iterable[str]:
            (tmp_path / "results.json").mkdir()
            return super().process(shard)

    monkeypatch.setattr(job, "DetectShard", TakesThePlace)
    result = run(f"--input={tmp_path / 'images'}", f"--coco={tmp_path / 'results.json'}")
    assert result.exit_code == 1
    assert f"1 detections in 1 images, 1 could not be read: {tmp_path / 'out'}" in result.output
    [error] = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert "results.json: cannot be written (Is a directory)" in error
    assert f"`efficientdet-pipeline merge {tmp_path / 'out'} --coco FILE` writes it from them" in error
    merged = CliRunner().invoke(main, ["merge", str(tmp_path / "out"), f"--coco={tmp_path / 'other.json'}"])
    assert merged.output == f"{tmp_path / 'other.json'}: 1 detections\n"
    assert [entry["image_id"] for entry in json.loads((tmp_path / "other.json").read_text())] == [7]


def test_what_holds_no_detections_is_not_merged(tmp_path: Path):
    merged = CliRunner().invoke(main, ["merge", str(tmp_path), f"--coco={tmp_path / 'results.json'}"])
    assert merged.exit_code == 1
    assert "error: " in merged.output
    assert "holds no summary.json, so no inference ended here" in merged.output
