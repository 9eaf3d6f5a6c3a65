"""The report has the pictures of the split, and the thresholds are named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.evaluator.example import read_example
from components.evaluator.publication import publish
from components.evaluator.record import SCORED_FOLDER
from efficientdet.blessing import Blessing, Rule
from efficientdet.data.input_pipeline import read_records
from efficientdet.label_map import LabelMap
from efficientdet.scored_image import CHAMPION_PREFIX, Found, ScoredImage, write_scored_images

RECORD = Blessing((Rule("floors.float/AP", 0.1, 0.5, "FAILED", "float AP is low"),), "eval", 12, 12, {"float": {}})


SCORE = float(np.float32(0.1234567))  # which six digits would round up, past itself


def scored(image: ScoredImage, lower: float) -> ScoredImage:
    """The image with its objects found so many pixels too low, with a score of SCORE."""
    boxes = np.asarray(image.truth.boxes_xywh, float) + [0, lower, 0, 0]
    found = Found(boxes, np.asarray(image.truth.classes, np.int32), np.full(len(boxes), SCORE))
    return replace(image, found={"float": found, f"{CHAMPION_PREFIX}float": found})


@pytest.mark.parametrize("lower", [0, 30])
def test_the_report_and_the_thresholds_of_the_candidate(tmp_path: Path, examples: Path, lower: int) -> None:
    pattern = f"{examples}/Split-eval/*"
    images = [scored(read_example(record.numpy()).image, lower) for record in read_records(pattern)]
    write_scored_images(tmp_path / SCORED_FOLDER / "images.jsonl.gz", images)
    publish(str(tmp_path), str(examples), pattern, LabelMap.load(examples), RECORD)
    thresholds = json.loads((tmp_path / "thresholds.json").read_text())
    assert thresholds == {"float": {} if lower else {"red": SCORE, "green": SCORE}}
    report = (tmp_path / "report.html").read_text()
    assert "float AP is low" in report
    assert ("data:image/jpeg;base64," in report) == bool(lower), "pictures are of errors"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", SCORED_FOLDER, "thresholds.json"]


def test_an_evaluation_without_images_has_a_report_too(tmp_path: Path, examples: Path) -> None:
    publish(str(tmp_path), str(tmp_path), f"{examples}/Split-eval/*", LabelMap.load(examples), RECORD)
    assert json.loads((tmp_path / "thresholds.json").read_text()) == {}
    assert (tmp_path / "report.html").is_file()
