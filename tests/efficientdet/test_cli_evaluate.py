"""`efficientdet evaluate` prints and writes what the evaluation finds."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from efficientdet.checkpoint import save_detector
from efficientdet.cli import cli
from efficientdet.coco_metric import COCO_METRICS
from efficientdet.config import Config
from efficientdet.data.input_pipeline import read_records
from efficientdet.evaluate import Evaluation
from efficientdet.label_map import LabelMap
from efficientdet.voc_metric import VOC_METRICS

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
    scores = Evaluation(load_detector(detector / "detector")[0], CONFIG, LabelMap.load(digit_shards), pattern)()
    assert written["metrics"] == pytest.approx(scores.metrics)
    labels = LabelMap.load(digit_shards)
    assert set(written["per_class"]) == {labels[i].name for i in scores.per_class}
    assert f"{scores.metrics['AR100']:.3f}" in answer.stdout


@pytest.mark.parametrize(("kind", "least"), [("SavedModel", 0.3), ("frozen", 0.3), ("int8", 1.0)])
def test_every_kind_of_file_is_judged(
    kind: str, least: float, tiny_export: Any, frozen_export: Path, own_answers: Path, tmp_path: Path
):
    bundle = tiny_export.folder
    models = {"SavedModel": bundle, "frozen": frozen_export, "int8": bundle / "model_int8.tflite"}
    answer = run("--model", models[kind], "--examples", own_answers / "*.gz", "--json", tmp_path / "scores.json")
    assert answer.exit_code == 0, answer.exception
    assert "images/s" in answer.stdout
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["images"] == len(tiny_export.pictures)
    assert list(written["metrics"]) == list(COCO_METRICS)
    assert written["metrics"]["AR100"] >= least


def test_groundtruth_of_an_annotation_file(tiny_export: Any, own_answers: Path, tmp_path: Path):
    """Written by `to-coco`; half of it is nobody's, so half is found."""
    done = CliRunner().invoke(cli, ["to-coco", "--examples", f"{own_answers}/*.gz", "--output", str(tmp_path / "coco")])
    assert done.exit_code == 0, done.exception
    annotations, output = tmp_path / "coco/instances.json", tmp_path / "scores.json"
    content = json.loads(annotations.read_text())
    for annotation in content["annotations"][::2]:
        annotation["bbox"] = [0, 0, 1, 1]
    model, examples = ("--tflite_path", tiny_export.folder / "model_int8.tflite"), ("--examples", own_answers / "*.gz")
    annotations.write_text(json.dumps(content))
    answer = run(*model, *examples, "--val_json_file", annotations, "--json", output, "--voc")
    assert answer.exit_code == 0, answer.exception
    metrics = json.loads(output.read_text())["metrics"]
    assert metrics["AR100"] == pytest.approx(0.5, abs=0.05)
    assert list(metrics) == [*COCO_METRICS, *VOC_METRICS]
    assert "VOC_11_point" in answer.stdout

    images = content["images"]
    for listed, says in (
        (images[1:], f"image {images[0]['id']} is not listed in {annotations}; give examples of the annotated images"),
        ([*images, {"id": 999, "file_name": "a.png"}], "lists 1 images, as id 999, of which"),
    ):
        annotations.write_text(json.dumps(content | {"images": listed}))
        answer = run(*model, *examples, "--annotations", annotations)
        assert answer.exit_code == 1
        assert says in str(answer.exception)


def test_anybodys_detections_need_no_tensorflow(shared: Path, tmp_path: Path):
    results = shared / "data/golden/ssd_mobilenet_v1_on_coco_mini_val.json"
    annotations = shared / "data/coco_mini/annotations/instances_val2017.json"
    words = ["evaluate", "--detections", results, "--annotations", annotations, "--json", tmp_path / "scores.json"]
    program = (
        "import sys; from efficientdet.cli import cli; "
        f"cli({[str(word) for word in words]!r}, standalone_mode=False); "
        "heavy = {'tensorflow', 'keras'} & set(sys.modules); assert not heavy, heavy"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "80 images" in done.stdout
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["metrics"]["AP"] == pytest.approx(0.2055, abs=5e-5)
    assert written["metrics"]["AP50"] == pytest.approx(0.3333, abs=5e-5)
    assert written["per_class"]["person"]["AP"] > 0


def test_the_report_shows_pictures_where_there_are_examples(tiny_export: Any, own_answers: Path, tmp_path: Path):
    model = tiny_export.folder / "model_int8.tflite"
    answer = run("--model", model, "--examples", own_answers / "*.gz", "--report", tmp_path / "a.html", "--voc")
    assert answer.exit_code == 0, answer.exception
    page = (tmp_path / "a.html").read_text()
    assert "Evaluation of model_int8.tflite" in page
    assert "data:image/jpeg;base64," in page


def test_detections_of_other_categories_are_counted(tmp_path: Path):
    annotations, results = tmp_path / "a.json", tmp_path / "r.json"
    annotation = {"image_id": 1, "category_id": 3, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    content = {"images": [{"id": 1}], "annotations": [annotation], "categories": [{"id": 3, "name": "cat"}]}
    annotations.write_text(json.dumps(content))
    found = {"image_id": 1, "category_id": 3, "bbox": [0, 0, 9, 9], "score": 0.9}
    results.write_text(json.dumps([found, found | {"category_id": 4}]))
    words = ["--detections", results, "--annotations", annotations]
    answer = run(*words, "--report", tmp_path / "a.html", "--json", tmp_path / "new/a.json")
    assert answer.exit_code == 0, answer.exception
    assert (tmp_path / "new/a.json").is_file()
    nowhere = run(*words, "--json", results / "a.json")
    assert isinstance(nowhere.exception, OSError)
    assert "1 images" in nowhere.stdout, "what was computed is shown, though it cannot be written"
    page = (tmp_path / "a.html").read_text()
    assert "Evaluation of r.json" in page
    assert "data:image/jpeg;base64," not in page
    assert f"{results}: 1 of 2 detections are of categories that {annotations} lacks" in answer.stderr
    assert "1.000" in answer.stdout


def test_the_submission_needs_no_groundtruth(tiny_export: Any, own_answers: Path, tmp_path: Path):
    model = tiny_export.folder / "model_int8.tflite"
    answer = run("--model", model, "--examples", own_answers / "*.gz", "--testdev_dir", tmp_path / "new")
    assert answer.exit_code == 0, answer.exception
    path = tmp_path / "new/detections_test-dev2017_efficientdet-lite0_results.json"
    entries = json.loads(path.read_text())
    assert f"{path.with_suffix('.zip')}: {len(entries)} detections" in answer.stdout
    assert {entry["image_id"] for entry in entries} == set(range(len(tiny_export.pictures)))
    assert {entry["category_id"] for entry in entries} <= {1, 2, 3}


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
        (["--model", __file__, "--examples", pattern], "is no detector; give a training run's folder"),
        (["--model", tmp_path, "--examples", pattern], "holds no detector.weights.h5"),
        (
            ["--model", detector, "--examples", pattern, "--label-map", tmp_path],
            "its classes are cat... and those of the detector",
        ),
    ):
        answer = run(*words)
        assert answer.exit_code == 1
        assert says in str(answer.exception)


def test_options_that_do_not_go_together_are_refused(detector: Path, tmp_path: Path):
    for words, says in (
        ([], "give --model and --examples, or --detections and --annotations"),
        (["--model", detector], "give --model and --examples"),
        (["--detections", __file__], "--detections: needs the groundtruth"),
        (["--detections", __file__, "--model", detector], "--detections and --model: do not go together"),
        (["--model", detector, "--examples", "*", "--testdev", tmp_path, "--json", tmp_path / "a"], "--testdev and"),
    ):
        answer = run(*words)
        assert answer.exit_code == 2
        assert says in answer.output
