"""The Exporter node turns a trained model and examples into a bundle."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfx.types import Artifact, Channel, artifact_utils, standard_artifacts

from components.evaluator.detectors import BundleDetectors
from components.evaluator.executor import check_bundle
from components.exporter import Executor, Exporter
from efficientdet.bundle import variants, verify_manifest
from efficientdet.checkpoint import save_detector
from efficientdet.coco_metric import Groundtruth
from efficientdet.config import Config, ExportConfig
from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.data.input_pipeline import decode_image, read_examples
from efficientdet.errors import ModelError
from efficientdet.infra_validation import Record, validate
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import build_detector
from efficientdet.scored_image import ScoredImage
from efficientdet.tflite_detector import TFLiteDetector

CONFIG = Config().override("model.image_size=64,model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1")
LABELS = LabelMap.from_names(["square", "circle"])


@pytest.fixture
def trained(tmp_path: Path) -> Artifact:
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "trained")
    save_detector(tmp_path / "trained" / "Format-Serving", build_detector(CONFIG, len(LABELS)), CONFIG, LABELS)
    return model


@pytest.fixture
def exported(tmp_path: Path) -> Artifact:
    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "exported" / "7")
    (tmp_path / "exported" / "7").mkdir(parents=True)  # as TFX leaves it
    return model


def write_examples(folder: Path, labels: LabelMap) -> Artifact:
    """Five noisy images in a train split, as example generation leaves them."""
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    examples.split_names = artifact_utils.encode_split_names(["train"])
    (folder / "Split-train").mkdir(parents=True)
    (folder / "label_map.json").write_text(labels.to_json())
    rng = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(folder / "Split-train" / "data-00000-of-00001.gz"), "GZIP") as writer:
        for i in range(5):
            stream = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(stream, "png")
            none = np.zeros(0)
            image = AnnotatedImage(
                str(i), f"{i}.png", stream.getvalue(), "png", 40, 60, none.reshape(0, 4), none, none, none, none
            )
            writer.write(to_example(image, labels).SerializeToString())
    return examples


def test_a_trained_model_becomes_a_bundle(trained: Artifact, exported: Artifact, tmp_path: Path):
    examples = write_examples(tmp_path / "examples", LABELS)
    inputs = {"model": [trained], "examples": [examples]}
    export = {"formats": ["saved_model", "tflite_int8", "tflite_dynamic"], "calibration_images": 3}
    properties = {"fingerprint": "0", "export": json.dumps(ExportConfig.parse(export).to_dict())}
    Executor().Do(inputs, {"exported_model": [exported]}, properties)
    bundle = Path(exported.uri)
    manifest = verify_manifest(bundle)
    assert list(variants(bundle)) == ["float", "dynamic", "int8"]
    assert Config.load(bundle / "config.yaml") == CONFIG.override({"export": export})
    assert manifest["label_map_hash"] == LABELS.hash
    assert TFLiteDetector(bundle / "model_int8.tflite").label_map == LABELS
    assert (bundle / "Format-Serving" / "saved_model.pb").is_file()
    assert [path.name for path in bundle.parent.iterdir()] == ["7"], "nothing is left aside"


def test_what_is_exported_goes_through_evaluation_and_infra_validation(
    trained: Artifact, exported: Artifact, tmp_path: Path
):
    """Every kind of file is scored, those without post-processing by ours, and runs as it was scored."""
    examples = write_examples(tmp_path / "examples", LABELS)
    formats = ["saved_model", "frozen_graph", "tflite_int8", "tflite_float16", "tflite_float32_raw", "tflite_int8_raw"]
    export = ExportConfig.parse({"formats": formats, "calibration_images": 3, "post_mode": "global"})
    properties = {"fingerprint": "0", "export": json.dumps(export.to_dict())}
    Executor().Do({"model": [trained], "examples": [examples]}, {"exported_model": [exported]}, properties)
    check_bundle(Path(exported.uri), LABELS)
    pictures = [record["image_bytes"].numpy() for record in read_examples(f"{examples.uri}/Split-train/*")]
    answers = BundleDetectors(exported.uri)(pictures)
    truth = Groundtruth(np.zeros((0, 4)), [], [], [])
    records = []
    for i, picture in enumerate(pictures):
        scored = ScoredImage(f"{i}", 40, 60, truth, {name: answer.found[i] for name, answer in answers.items()})
        records.append(Record(picture, decode_image(picture).numpy(), scored))
    verdict = validate(exported.uri, records)
    assert (verdict.outcome, verdict.reasons) == ("INFRA_BLESSED", [])
    names = ["float", "float16", "float32_raw", "int8", "int8_raw"]
    assert [(runtime.variant, runtime.agreement) for runtime in verdict.runtimes] == [(name, 1) for name in names]
    assert verdict.untried == ("frozen_graph.pb",)
    for name in names:
        assert sum(len(found.scores) for found in answers[name].found), f"{name} answered"


def test_examples_of_other_classes_are_refused(trained: Artifact, exported: Artifact, tmp_path: Path):
    inputs = {"model": [trained], "examples": [write_examples(tmp_path / "others", LabelMap.from_names(["x"]))]}
    with pytest.raises(ModelError, match="its classes are not those of"):
        Executor().Do(inputs, {"exported_model": [exported]}, {"fingerprint": "0", "export": "{}"})


def test_ports_of_the_node():
    model, examples = Channel(type=standard_artifacts.Model), Channel(type=standard_artifacts.Examples)
    export = ExportConfig(formats=("saved_model", "tflite_float16"))
    node = Exporter(model=model, examples=examples, fingerprint="f00", export=export)
    assert set(node.inputs) == {"model", "examples"}
    assert node.outputs["exported_model"].type is standard_artifacts.Model
    assert node.exec_properties["fingerprint"] == "f00"
    assert ExportConfig.parse(json.loads(node.exec_properties["export"])) == export
