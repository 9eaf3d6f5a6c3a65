"""`efficientdet export` writes what is asked for, and says what it cannot before any work."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from efficientdet.bundle import verify_manifest
from efficientdet.checkpoint import save_detector
from efficientdet.cli import cli
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.tflite_detector import TFLiteDetector, read_packed

from .conftest import SMALL, lively_detector, random_pictures

CONFIG = Config().override(SMALL)


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["export", *(str(word) for word in words)])


@pytest.fixture(scope="module")
def trained(digit_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("run")
    model = lively_detector(CONFIG, 10, random_pictures(8, 64, 64))
    save_detector(folder / "detector", model, CONFIG, LabelMap.load(digit_shards))
    return folder


def test_settings_changed_at_export_are_those_of_the_files(trained: Path, digit_shards: Path, tmp_path: Path) -> None:
    answer = run(
        *("--model", trained, "--format", "saved_model", "--format", "tflite_int8", "--output", tmp_path / "out"),
        *("--examples", f"{digit_shards}/Split-train/*", "--image-size", "96x64", "--num-calibration-steps", 3),
        *(
            "--set",
            "nms.max_detections=7",
            "--set",
            "nms.iou_threshold=0.3",
            "--hparams",
            "nms_configs.score_thresh=0.2",
        ),
    )
    assert answer.exit_code == 0, answer.exception
    assert f"{tmp_path / 'out/model_int8.tflite'}: tflite_int8, " in answer.stdout
    verify_manifest(tmp_path / "out")
    changed = {
        "model": {"image_size": "96x64"},
        "nms": {"max_detections": 7, "iou_threshold": 0.3, "score_threshold": 0.2},
        "export": {"formats": ["saved_model", "tflite_int8"], "calibration_images": 3},
    }
    config = Config.load(tmp_path / "out/config.yaml")
    assert config == CONFIG.override(changed)
    assert read_packed(tmp_path / "out/model_int8.tflite") == (config, LabelMap.load(digit_shards))
    pictures = random_pictures(2, 64, 96)
    loaded = tf.saved_model.load(str(tmp_path / "out/Format-Serving"))
    by_float = loaded.signatures["images"](images=tf.constant(pictures))
    by_int8 = TFLiteDetector(tmp_path / "out/model_int8.tflite")(list(pictures))
    for scores in (by_float["detection_scores"].numpy(), by_int8.scores):
        assert scores.shape == (2, 7)
        assert scores[scores > 0].min() > 0.2
    np.testing.assert_allclose(by_int8.scores, by_float["detection_scores"], atol=0.1)


def test_flags_of_google_automl(trained: Path, tmp_path: Path) -> None:
    answer = run(
        *("--model_name=efficientdet-lite0", f"--model_dir={trained}", f"--saved_model_dir={tmp_path / 'out'}"),
        *("--tflite=FP16", "--only_network", "--image_size=-1"),
    )
    assert answer.exit_code == 0, answer.exception
    assert "--model_name has no effect here" in answer.stderr
    config = Config.load(tmp_path / "out/config.yaml")
    assert config.export.formats == ("saved_model", "frozen_graph", "tflite_float16")
    run_network = tf.saved_model.load(str(tmp_path / "out/Format-Serving")).signatures["serving_default"]
    assert "class_logits_4" in run_network(images=tf.zeros([2, 64, 64, 3]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--format tflite_int8", "tflite_int8: int8 is calibrated with images, preferably those of the training"),
        ("--format coreml", "export.formats.0='coreml': Input should be 'saved_model', 'frozen_graph'"),
        ("--format tensorrt_fp16", "TensorRT: TensorFlow"),
        ("--format tensorrt_int8", "TensorRT: TensorFlow"),
        ("--format saved_model --set nms.iou_treshold=1", "there is no such setting; did you mean nms.iou_threshold"),
        ("--format saved_model --image-size 7", "model.image_size='7': an image size is one number or WIDTHxHEIGHT"),
        ("--format tflite_int8 --examples /nowhere/*", "/nowhere/*: no file matches"),
        ("--format saved_model --set model.fpn_filters=24", "does not hold the weights of efficientdet-lite0"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    trained: Path, tmp_path: Path, words: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("efficientdet.tensorrt.is_tensorrt_enabled", lambda: False)
    answer = run("--model", trained, "--output", tmp_path / "out", *words.split())
    assert says in str(answer.exception)
    assert not (tmp_path / "out").exists()


def test_examples_of_other_classes_are_refused(trained: Path, digit_shards: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/label_map.json").write_text(LabelMap.from_names(["cat"]).to_json())
    words = ["--format", "tflite_int8", "--examples", f"{digit_shards}/Split-train/*"]
    answer = run("--model", trained, "--output", tmp_path / "out", *words, "--label-map", tmp_path / "labels")
    assert "its classes are cat... and the detector's" in str(answer.exception)


def test_a_folder_without_a_detector_or_of_other_things(trained: Path, tmp_path: Path) -> None:
    answer = run("--model", tmp_path, "--format", "saved_model", "--output", tmp_path / "out")
    assert f"{tmp_path}: holds no detector.weights.h5, saved_model.pb, .tflite or .pb" in str(answer.exception)
    (tmp_path / "photo.jpg").touch()
    answer = run("--model", trained, "--format", "saved_model", "--output", tmp_path)
    assert "holds other files, which an export would replace" in str(answer.exception)


def test_the_detector_is_the_one_that_infer_finds(trained: Path, tmp_path: Path) -> None:
    model = tmp_path / "Trainer/model/5"
    shutil.copytree(trained / "detector", model / "Format-Serving")  # where TFX's Trainer has it written
    answer = run("--model", model, "--format", "saved_model", "--output", tmp_path / "out")
    assert answer.exit_code == 0, answer.exception
    verify_manifest(tmp_path / "out")
    answer = run("--model", tmp_path / "out", "--format", "frozen_graph", "--output", tmp_path / "again")
    says = f"{tmp_path / 'out/Format-Serving'}: is a SavedModel, which has been exported already; give the"
    assert str(answer.exception).startswith(says)


def test_no_images_to_calibrate_with_is_wrong_usage(trained: Path, tmp_path: Path) -> None:
    words = ["--format", "tflite_int8", "--examples", "x", "--num-calibration-steps", 0]
    answer = run("--model", trained, "--output", tmp_path / "out", *words)
    assert answer.exit_code == 2
    assert "--num-calibration-steps" in answer.output


def test_float_layers_that_are_none_are_refused_before_an_image_is_read(
    trained: Path, digit_shards: Path, tmp_path: Path
) -> None:
    shutil.copytree(digit_shards, tmp_path / "cut")
    for shard in (tmp_path / "cut/Split-train").iterdir():
        shard.write_bytes(shard.read_bytes()[:-500])
    words = [
        "--examples",
        f"{tmp_path}/cut/Split-train/*",
        "--output",
        tmp_path / "out",
        "--float-layers",
        "blocks_77/*",
    ]
    answer = run("--model", trained, "--format", "tflite_int8_raw", "--format", "tflite_int8", *words)
    assert "export.float_layers=blocks_77/*: no layer is called so" in str(answer.exception)
    assert not (tmp_path / "out").exists()
