"""Model Maker's script, line by line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from efficientdet import model_spec, object_detector
from efficientdet.checkpoint import load_detector, save_detector
from efficientdet.errors import ConfigError, ModelError
from efficientdet.evaluate import Evaluation
from efficientdet.object_detector import DataLoader, ExportFormat, ObjectDetector, QuantizationConfig
from efficientdet.tflite_detector import TFLiteDetector

from .conftest import lively_detector, random_pictures

TINY = {
    "image_size": 64,
    "fpn_num_filters": 16,
    "fpn_cell_repeats": 1,
    "box_class_repeats": 1,
    "training": {"preflight": False},
}
RANDOM = {**TINY, "backbone_ckpt": None}
NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "ARmax1", "ARmax10", "ARmax100", "ARs", "ARm", "ARl")


class Script(NamedTuple):
    """What the script leaves."""

    folder: Path
    model: ObjectDetector
    test_data: DataLoader
    before: dict[str, float]
    float_scores: dict[str, float]
    int8_scores: dict[str, float]
    log: str


@pytest.fixture(scope="module")
def salads(tmp_path_factory: pytest.TempPathFactory, digit_shards: Path, write_csv: Callable[..., Any]) -> Path:
    """A CSV of twelve images to train with, two to validate, and the first twelve to test: enough for an AP."""
    folder = tmp_path_factory.mktemp("salads")
    sets = {"TRAINING": ("train", slice(12)), "VALIDATION": ("eval", slice(2)), "TEST": ("train", slice(12))}
    (folder / "train").symlink_to(digit_shards / "coco/train")
    (folder / "eval").symlink_to(digit_shards / "coco/eval")
    write_csv(folder / "salads.csv", digit_shards / "coco", sets)
    return folder / "salads.csv"


@pytest.fixture(scope="module")
def script(salads: Path, tmp_path_factory: pytest.TempPathFactory) -> Script:
    """The script of Model Maker's tutorial, on less data; only the import has changed."""
    folder, log = tmp_path_factory.mktemp("out"), []
    handler = logging.Handler()
    handler.emit = lambda record: log.append(record.getMessage())
    logging.getLogger("efficientdet").addHandler(handler)
    logging.getLogger("efficientdet").setLevel(logging.INFO)

    spec = model_spec.get("efficientdet_lite0", hparams=TINY)
    train_data, validation_data, test_data = object_detector.DataLoader.from_csv(str(salads))
    model = object_detector.create(
        train_data,
        model_spec=spec,
        epochs=2,
        batch_size=6,
        train_whole_model=True,
        validation_data=validation_data,
    )
    before = model.evaluate(test_data)
    # A few steps teach nothing that the numbers could tell apart.
    model.model.set_weights(
        lively_detector(spec.config, len(train_data.labels), random_pictures(8, 64, 64)).get_weights()
    )
    float_scores = model.evaluate(test_data)
    model.export(export_dir=str(folder))
    int8_scores = model.evaluate_tflite(str(folder / "model.tflite"), test_data)

    logging.getLogger("efficientdet").removeHandler(handler)
    logging.getLogger("efficientdet").setLevel(logging.NOTSET)
    return Script(folder, model, test_data, before, float_scores, int8_scores, "\n".join(log))


def test_the_script_trains_from_imagenet(script: Script) -> None:
    assert "efficientdet-lite0: training starts from imagenet" in script.log
    assert "step 4: AP " in script.log, "the validation data are scored"
    assert "images 2 = 2 kept" in script.log
    config = script.model._spec.config
    assert (config.training.epochs, config.training.batch_size, config.training.freeze) == (2, 6, None)
    assert list(script.before) == [*NUMBERS, *(f"AP_/{name}" for name in script.test_data.labels.names)]


def test_its_numbers_are_those_of_the_library(script: Script) -> None:
    config, data = script.model._spec.config, script.test_data
    scores = Evaluation(script.model.model, config, data.labels, data.pattern)()
    assert scores.images == 12
    assert script.float_scores["AP"] == scores.metrics["AP"] > 0
    assert script.float_scores["ARmax100"] == scores.metrics["AR100"]
    assert script.float_scores["ARmax1"] == scores.metrics["AR1"]
    for label in data.labels:
        expected = scores.per_class[label.id]["AP"] if label.id in scores.per_class else -1.0
        assert script.float_scores[f"AP_/{label.name}"] == expected


def test_the_exported_file_is_int8_with_25_detections(script: Script) -> None:
    assert [path.name for path in script.folder.iterdir()] == ["model.tflite"]
    detector = TFLiteDetector(script.folder / "model.tflite")
    assert detector.config.nms.max_detections == 25
    assert detector.label_map == script.test_data.labels
    assert detector._interpreter.get_input_details()[0]["dtype"] == np.uint8
    assert script.int8_scores.keys() == script.float_scores.keys()
    assert script.int8_scores["AP"] == pytest.approx(script.float_scores["AP"], abs=0.05)


@pytest.mark.parametrize(
    ("quantization", "size"),
    [(None, 1.0), (QuantizationConfig.for_float16(), 0.5), (QuantizationConfig.for_dynamic(), 0.3)],
)
def test_other_numbers_than_int8(script: Script, tmp_path: Path, quantization: Any, size: float) -> None:
    script.model.export(tmp_path, tflite_filename="a.tflite", quantization_config=quantization)
    scores = script.model.evaluate_tflite(tmp_path / "a.tflite", script.test_data)
    assert scores["AP"] == pytest.approx(script.float_scores["AP"], abs=0.05 if quantization else 0.01)
    parameters = sum(int(np.prod(v.shape)) for v in script.model.model.weights)
    assert (tmp_path / "a.tflite").stat().st_size == pytest.approx(4 * parameters * size, rel=0.2)


def test_saved_model_and_labels(script: Script, tmp_path: Path) -> None:
    formats = [ExportFormat.SAVED_MODEL, ExportFormat.LABEL]
    for _ in range(2):  # the second replaces the first
        script.model.export(tmp_path, export_format=formats)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.txt", "saved_model"]
    assert (tmp_path / "labels.txt").read_text().splitlines() == script.test_data.labels.names
    serve = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["images"]
    assert serve(images=tf.zeros([1, 80, 90, 3], tf.uint8))["detection_boxes"].shape == (1, 100, 4)
    (tmp_path / "other").mkdir()
    with pytest.raises(ModelError, match="other: exists and is no SavedModel"):
        script.model.export(tmp_path, export_format=ExportFormat.SAVED_MODEL, saved_model_filename="other")


def test_what_cannot_be_done_is_one_sentence(script: Script, tmp_path: Path, digit_shards: Path) -> None:
    other = DataLoader.from_cache(digit_shards / "Split-eval")
    fresh = ObjectDetector(model_spec.get("efficientdet_lite0", hparams=RANDOM), other.labels)
    for call, kind, words in (
        (lambda: script.model.export(tmp_path, export_format="TFJS"), ConfigError, "export_format=TFJS: cannot be"),
        (lambda: script.model.evaluate(other), ModelError, r"efficientdet-lite0: is for \d+ classes \(digit .*numbers"),
        (lambda: script.model.train(other), ModelError, "load the data with the label map of the model"),
        (
            lambda: script.model.evaluate_tflite(script.folder / "model.tflite", other),
            ModelError,
            "model.tflite: is for",
        ),
        (lambda: fresh.evaluate(other), ModelError, "there is no network yet; call train or create_model first"),
        (lambda: fresh.create_model() and fresh.export(tmp_path), ConfigError, "int8 needs images to calibrate with"),
    ):
        with pytest.raises(kind, match=words) as error:
            call()
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_without_training_the_weights_are_those_to_start_from(script: Script, capsys: Any) -> None:
    data = script.test_data
    detector = ObjectDetector.create(data, model_spec.get("efficientdet_lite0", hparams=RANDOM), do_train=False)
    expected = model_spec.get("efficientdet_lite0", hparams=RANDOM).create_model(data.labels)
    for ours, theirs in zip(detector.model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    detector.summary()
    assert "Total params" in capsys.readouterr().out


def test_a_model_dir_keeps_the_run_and_what_is_trained_may_be_frozen(
    digit_shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = DataLoader.from_cache(digit_shards / "Split-train")
    first = model_spec.get("efficientdet_lite0", hparams=RANDOM, epochs=1, batch_size=12)
    start = ObjectDetector(first, data.labels).create_model()
    save_detector(tmp_path / "start", start, first.config, data.labels)
    spec = model_spec.get(
        "efficientdet_lite0",
        uri=tmp_path / "start",
        hparams=TINY,
        epochs=1,
        batch_size=12,
        model_dir=tmp_path / "run",
    )
    trained = object_detector.create(data, spec)
    stored, config, label_map = load_detector(tmp_path / "run/detector")
    assert (config.training.freeze, config.training.eval_epochs) == (model_spec.FREEZE, 0)
    assert label_map == data.labels
    pairs = zip(trained.model.weights, start.weights, strict=True)
    changed = {v.path.partition("/")[0] for v, w in pairs if (v.numpy() != w.numpy()).any()}
    assert {"class_net", "box_net"} <= changed
    assert not changed & {"efficientnet-lite0", "fpn_cells"}
    for ours, theirs in zip(trained.model.get_weights(), stored.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with caplog.at_level(logging.INFO, "efficientdet"):
        again = object_detector.create(data, spec)
    assert "going on from step 1" in caplog.text
    np.testing.assert_array_equal(again.model.get_weights()[-1], stored.get_weights()[-1])
    with pytest.raises(ConfigError, match="is of another run"):
        object_detector.create(data, spec, batch_size=6)


def test_names_that_scripts_import() -> None:
    assert object_detector.create == ObjectDetector.create
    assert object_detector.EfficientDetSpec is model_spec.EfficientDetSpec
