"""`efficientdet benchmark` times every kind of file, and says before any work what cannot be; no time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from efficientdet.checkpoint import save_detector
from efficientdet.cli import cli

FEW = ("--runs", 2, "--warm-up", 1)


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["benchmark", *(str(word) for word in words)])


@pytest.fixture(scope="module")
def models(every_format: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("trained")
    save_detector(folder / "detector", every_format.model, every_format.config, every_format.label_map)
    files = {"saved_model": "Format-Serving", "frozen_graph": "frozen_graph.pb", "tflite": "model_int8.tflite"}
    files["raw"] = "model_float32_raw.tflite"
    return {"checkpoint": folder} | {name: every_format.folder / file for name, file in files.items()}


@pytest.mark.parametrize("kind", ["checkpoint", "saved_model", "frozen_graph", "tflite", "raw"])
def test_both_modes_of_every_kind(models: dict[str, Path], kind: str, tmp_path: Path) -> None:
    Image.new("RGB", (90, 70), "red").save(tmp_path / "red.png")
    answer = run("--model", models[kind], *FEW, "--image", tmp_path / "red.png", "--json", tmp_path / "out.json")
    assert answer.exit_code == 0, answer.exception
    assert "over the network alone" in answer.stdout
    written = json.loads((tmp_path / "out.json").read_text())
    assert (written["kind"], written["model"]) == ("tflite" if kind == "raw" else kind, "efficientdet-lite0")
    assert (written["input_size"], written["picture"]) == ([64, 64], [70, 90])
    assert [(row["mode"], row["batch"], row["runs"]) for row in written["rows"]] == [
        ("network", 1, 2),
        ("end_to_end", 1, 2),
    ]
    for row in written["rows"]:
        assert 0 < row["min_ms"] <= row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["images_per_second"] > 0
    assert set(written["end_to_end_over_network"]) == {"1"}


def test_batches_precision_and_xla_of_a_checkpoint(models: dict[str, Path], tmp_path: Path) -> None:
    answer = run(
        *("--model_dir", models["checkpoint"], "--batch_size", 1, "--batch_size", 3, "--bm_runs", 1, "--warm-up", 1),
        *("--precision", "bfloat16", "--use_xla", "--set", "nms.max_detections=7", "--json", tmp_path / "out.json"),
    )
    assert answer.exit_code == 0, answer.exception
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    expected = [("network", 1), ("end_to_end", 1), ("network", 3), ("end_to_end", 3)]
    assert [(row["mode"], row["batch"]) for row in rows] == expected


@pytest.mark.parametrize("option", [("--only-network",), ("--mode", "network")])
def test_one_mode(models: dict[str, Path], option: tuple[str, ...]) -> None:
    answer = run("--model", models["tflite"], *FEW, *option)
    assert answer.exit_code == 0, answer.exception
    assert "network" in answer.stdout
    assert "end to end" not in answer.stdout


@pytest.mark.parametrize(
    ("kind", "words", "says"),
    [
        ("tflite", ("--xla",), "--xla: {} is a TFLite file, in which all of that is settled"),
        ("tflite", ("--batch-size", 4), "--batch-size=4: {} takes one image at a time; leave it out"),
        ("tflite", ("--threads", 17), "--threads=17: a TFLite file runs on 16 at most"),
        ("saved_model", ("--precision", "float16"), "--precision=float16: {} is a SavedModel, in which all of that"),
        ("frozen_graph", ("--set", "nms.max_detections=7"), "--set: {} is a frozen graph, in which all of that"),
    ],
)
def test_what_does_not_suit_a_kind_is_a_sentence(
    models: dict[str, Path], kind: str, words: tuple[object, ...], says: str
) -> None:
    answer = run("--model", models[kind], *words)
    assert says.format(models[kind]) in str(answer.exception)


def test_threads_of_tensorflow_are_set_before_it_starts(models: dict[str, Path]) -> None:
    assert "TensorFlow is at work already" in str(run("--model", models["saved_model"], "--threads", 7, *FEW).exception)
    words = ["benchmark", "--model", str(models["checkpoint"]), "--threads", "1", "--mode", "network", "--runs", "1"]
    script = "import sys; from efficientdet.cli import cli; cli(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, *words], env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "1 thread" in done.stdout


def test_a_tflite_file_needs_no_tensorflow(models: dict[str, Path]) -> None:
    script = "import sys; sys.modules['tensorflow'] = None; from efficientdet.cli import cli; cli(sys.argv[1:])"
    words = ["benchmark", "--model", str(models["tflite"]), "--runs", "1"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
