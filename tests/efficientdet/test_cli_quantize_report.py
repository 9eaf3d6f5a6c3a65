"""`efficientdet quantize-report` shows the worst layers of checkpoints and exports; export keeps them in float."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner, Result

from efficientdet.bundle import read_manifest
from efficientdet.checkpoint import save_detector
from efficientdet.cli import cli
from efficientdet.config import Config
from efficientdet.data.representative_dataset import RepresentativeDataset
from efficientdet.export import export_bundle
from efficientdet.label_map import LabelMap
from efficientdet.tflite_detector import read_packed
from efficientdet.tflite_flatbuffer import unpack_model
from efficientdet.tflite_operators import kind

from .conftest import SMALL, lively_detector, random_pictures

CONFIG = Config().override(SMALL).override({"export": {"calibration_images": 5}})


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def model() -> Any:
    return lively_detector(CONFIG, 10, random_pictures(8, 64, 64))


@pytest.fixture(scope="module")
def trained(model: Any, digit_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_detector(folder / "detector", model, CONFIG, LabelMap.load(digit_shards))
    return folder


def report(model: Path, digit_shards: Path, json_file: Path, *words: str) -> tuple[Result, dict[str, Any]]:
    examples = f"{digit_shards}/Split-train/*"
    answer = run(
        *("quantize-report", "--model", model, "--examples", examples, "--images", 3, "--worst", 4),
        *("--json", json_file, *words),
    )
    assert answer.exit_code == 0, answer.exception
    return answer, json.loads(json_file.read_text())


def test_the_worst_layers_are_shown_and_can_stay_float(trained: Path, digit_shards: Path, tmp_path: Path):
    answer, found = report(trained, digit_shards, tmp_path / "a/report.json")
    layers = found["layers"]
    assert len(layers) > 100
    for error in layers[:4]:
        assert error["layer"] in answer.stdout
    assert layers[5]["layer"] not in answer.stdout.split("Arriving")[0]
    assert "class_logits_0" in answer.stdout
    assert "3 images; in float: nothing" in answer.stdout
    assert ("try --float-layers" in answer.stdout) == bool(found["suspects"])
    answer, kept = report(trained, digit_shards, tmp_path / "b.json", "--float-layers", "*_net/*")
    assert "3 images; in float: *_net/*" in answer.stdout
    assert not any("_net/" in error["layer"] for error in kept["layers"])
    for before, after in list(zip(found["outputs"], kept["outputs"], strict=True))[:2]:
        assert after["noise"] < before["noise"]


def test_an_export_is_judged_by_the_weights_in_its_saved_model(
    model: Any, trained: Path, digit_shards: Path, tmp_path: Path
):
    config = CONFIG.override("export.formats=saved_model")
    export_bundle(model, config, LabelMap.load(digit_shards), [], tmp_path / "bundle")
    _, expected = report(trained, digit_shards, tmp_path / "a.json")
    _, found = report(tmp_path / "bundle", digit_shards, tmp_path / "b.json")
    assert found == expected


def test_the_detector_is_the_one_that_infer_finds(trained: Path, digit_shards: Path, tmp_path: Path):
    model = tmp_path / "Trainer/model/5"
    shutil.copytree(trained / "detector", model / "Format-Serving")
    words = ["quantize-report", "--examples", f"{digit_shards}/Split-train/*", "--float-layers", "blocks_77/*"]
    answer = run(*words, "--model", model)
    assert "export.float_layers=blocks_77/*: no layer is called so" in str(answer.exception), "it was opened"
    (tmp_path / "model.tflite").touch()
    answer = run(*words, "--model", tmp_path / "model.tflite")
    assert "model.tflite: is a TFLite file, whose layers cannot be converted again; give the" in str(answer.exception)


def test_an_export_keeps_layers_in_float_and_says_what_it_was_calibrated_on(
    trained: Path, digit_shards: Path, tmp_path: Path
):
    examples = f"{digit_shards}/Split-train/*"
    answer = run(
        *("export", "--model", trained, "--format", "tflite_int8", "--format", "tflite_int8_raw"),
        *("--examples", examples, "--output", tmp_path / "out", "--float-layers", "box_net/*"),
    )
    assert answer.exit_code == 0, answer.exception
    config, _ = read_packed(tmp_path / "out/model_int8.tflite")
    assert config.export.float_layers == ("box_net/*",)
    floats = {name: _float_depthwise(tmp_path / f"out/{name}.tflite") for name in ("model_int8", "model_int8_raw")}
    # One layer and the prediction on five levels; accelerators get integers alone.
    assert floats == {"model_int8": 10, "model_int8_raw": 0}
    calibration = read_manifest(tmp_path / "out")["calibration"]
    chosen = RepresentativeDataset(examples, CONFIG)
    assert calibration == chosen.facts
    assert calibration["images"] == 5
    description = unpack_model((tmp_path / "out/model_int8.tflite").read_bytes()).description.decode()
    assert f"int8, calibrated on 5 images (sha256 {chosen.sha256[:16]})" in description


def _float_depthwise(path: Path) -> int:
    model = unpack_model(path.read_bytes())
    [graph] = model.subgraphs
    return sum(
        kind(model, op) == "DEPTHWISE_CONV_2D" and graph.tensors[int(op.outputs[0])].type == schema.TensorType.FLOAT32
        for op in graph.operators
    )


def test_a_pattern_that_fits_nothing_is_a_sentence(trained: Path, digit_shards: Path, tmp_path: Path):
    shutil.copytree(digit_shards, tmp_path / "cut")
    for shard in (tmp_path / "cut/Split-train").iterdir():
        shard.write_bytes(shard.read_bytes()[:-500])  # which is not said, as no image has been read
    words = ["--examples", f"{tmp_path}/cut/Split-train/*", "--float-layers", "blocks_77/*"]
    answer = run("quantize-report", "--model", trained, *words)
    assert "export.float_layers=blocks_77/*: no layer is called so" in str(answer.exception)
    answer = run("quantize-report", "--model", tmp_path, "--examples", f"{digit_shards}/Split-train/*")
    assert "holds no detector.weights.h5, saved_model.pb, .tflite or .pb; give" in str(answer.exception)
