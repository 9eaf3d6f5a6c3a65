"""`efficientdet evaluate` prints and writes what the evaluation finds."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from efficientdet.checkpoint import save_detector
from efficientdet.cli import cli
from efficientdet.config import Config
from efficientdet.data.input_pipeline import read_records
from efficientdet.evaluate import Evaluation
from efficientdet.label_map import LabelMap

from .conftest import lively_detector, random_pictures

CONFIG = Config().override("model.image_size=64,model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1")


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *(str(word) for word in words)])


@pytest.fixture(scope="module")
def detector(digit_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    model = lively_detector(CONFIG, 10, random_pictures(8, 64, 64))
    save_detector(folder / "detector", model, CONFIG, LabelMap.load(digit_shards))
    return folder


def test_the_numbers_of_a_run(digit_shards: Path, detector: Path, tmp_path: Path):
    from efficientdet.checkpoint import load_detector

    pattern = f"{digit_shards}/Split-eval/*"
    answer = run("--model_dir", detector, "--val_file_pattern", pattern, "--json", tmp_path / "scores.json")
    assert answer.exit_code == 0, answer.exception
    assert "4 images" in answer.stdout
    written = json.loads((tmp_path / "scores.json").read_text())
    scores = Evaluation(load_detector(detector / "detector")[0], CONFIG, 10, pattern)()
    assert written["metrics"] == pytest.approx(scores.metrics)
    labels = LabelMap.load(digit_shards)
    assert set(written["per_class"]) == {labels[i].name for i in scores.per_class}
    assert f"{scores.metrics['AR100']:.3f}" in answer.stdout


def rewritten(shards: Path, folder: Path, change: Callable[[tf.train.Features], None]) -> str:
    """The eval shards with their label map in another folder, each record changed; their pattern."""
    folder.mkdir()
    shutil.copy(shards / "label_map.json", folder)
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for record in read_records(f"{shards}/Split-eval/*").as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            change(example.features)
            writer.write(example.SerializeToString())
    return f"{folder}/*.gz"


def test_groundtruth_that_would_falsify_the_numbers_is_refused(digit_shards: Path, detector: Path, tmp_path: Path):
    def of_class_99(features: tf.train.Features) -> None:
        values = features.feature["image/object/class/label"].int64_list.value
        values[:] = [99] * len(values)

    def without_numbers(features: tf.train.Features) -> None:
        values = features.feature["image/object/bbox/xmin"].float_list.value
        values[:] = [math.nan] * len(values)

    for change, says in ((of_class_99, "boxes of class 99, but the label map has 10"), (without_numbers, "not finite")):
        answer = run("--model", detector, "--examples", rewritten(digit_shards, tmp_path / change.__name__, change))
        assert answer.exit_code == 1
        assert says in str(answer.exception)


def test_mistakes_are_one_sentence(digit_shards: Path, detector: Path, tmp_path: Path):
    (tmp_path / "label_map.json").write_text(LabelMap.from_names(["cat"]).to_json())
    pattern = f"{digit_shards}/Split-eval/*"
    for words, says in (
        (["--model", detector, "--examples", tmp_path / "none*"], "no file matches"),
        (["--model", tmp_path, "--examples", pattern], "holds no detector.weights.h5"),
        (
            ["--model", detector, "--examples", pattern, "--label-map", tmp_path],
            "its classes are cat... and the detector",
        ),
    ):
        answer = run(*words)
        assert answer.exit_code == 1
        assert says in str(answer.exception)
