"""`efficientdet compare` says which of two is better, and whether by more than chance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from efficientdet.cli import cli


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["compare", *(str(word) for word in words)])


@pytest.fixture
def worse(shared: Path, tmp_path: Path) -> Path:
    """The published detector's results on coco_mini, each eight pixels beside its place."""
    entries = json.loads((shared / "data/golden/ssd_mobilenet_v1_on_coco_mini_val.json").read_text())
    for entry in entries:
        entry["bbox"][0] += 8
    (tmp_path / "worse.json").write_text(json.dumps(entries))
    return tmp_path / "worse.json"


def test_of_two_result_files_the_better_is_named(shared: Path, worse: Path, tmp_path: Path):
    better = shared / "data/golden/ssd_mobilenet_v1_on_coco_mini_val.json"
    annotations = shared / "data/coco_mini/annotations/instances_val2017.json"
    options = ("--annotations", annotations, "--samples", 200, "--json", tmp_path / "out.json")
    answer = run(better, worse, *options)
    assert answer.exit_code == 0, answer.exception
    written = json.loads((tmp_path / "out.json").read_text())
    difference, low, high = written["interval"].values()
    assert difference == pytest.approx(written["A"]["metrics"]["AP"] - written["B"]["metrics"]["AP"])
    assert 0 < low < difference < high
    assert (
        f"AP of A - B: {difference:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}: A is better by more" in answer.stdout
    )
    assert written["B"]["path"] == str(worse)
    assert (written["images"], written["metric"], written["samples"], written["seed"]) == (80, "AP", 200, 0)

    answer = run(worse, better, *options, "--metric", "AP50")
    assert "AP50 of A - B: -" in answer.stdout
    turned = run(worse, better, *options)
    assert f"AP of A - B: {-difference:+.4f}, 95 % interval {-high:+.4f} to {-low:+.4f}: B is better" in turned.stdout


def test_models_are_compared_on_the_same_examples(tiny_export: Any, own_answers: Path):
    int8, options = tiny_export.folder / "model_int8.tflite", ("--examples", own_answers / "*.gz", "--samples", 100)
    answer = run(int8, int8, *options)
    assert answer.exit_code == 0, answer.exception
    assert f"{len(tiny_export.pictures)} images" in answer.stdout
    assert "AP of A - B: +0.0000, 95 % interval +0.0000 to +0.0000: within what another draw" in answer.stdout
    answer = run(tiny_export.folder, int8, *options)
    assert "A: bundle" in answer.stdout
    assert "B: model_int8.tflite" in answer.stdout
    assert "B is better" in answer.stdout, "as the groundtruth is its answers"


def test_without_groundtruth_nothing_is_compared(tmp_path: Path):
    content = {"images": [{"id": 1}], "annotations": [], "categories": [{"id": 3, "name": "cat"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "r.json").write_text("[]")
    answer = run(tmp_path / "r.json", tmp_path / "r.json", "--annotations", tmp_path / "a.json")
    assert answer.exit_code == 0, answer.exception
    assert "AP of A - B: n/a" in answer.stdout


def test_mistakes_are_one_sentence(tmp_path: Path):
    for words, says in (
        ((__file__, __file__), "give --examples for two models, or --annotations for two COCO result files"),
        ((__file__, __file__, "--metric", "mAP", "--examples", "a"), "'mAP' is none of AP, AP50"),
        ((tmp_path / "none", __file__), "does not exist"),
    ):
        answer = run(*words)
        assert answer.exit_code == 2
        assert says in answer.output


@pytest.mark.parametrize("confidence", ["nan", "-NaN", "inf", "0", "1", "-0.9", "95%"])
def test_a_confidence_that_makes_no_interval_is_refused(confidence: str):
    answer = run(__file__, __file__, "--annotations", __file__, "--confidence", confidence)
    assert answer.exit_code == 2
    [*_, said] = answer.output.strip().splitlines()
    assert said.startswith("Error: Invalid value for '--confidence'")
    assert "0.5<=x<=0.999" in said or "is not a valid float" in said
