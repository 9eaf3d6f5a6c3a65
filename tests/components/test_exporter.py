"""The Exporter node turns a trained model and examples into a bundle."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfx.types import Artifact, Channel, artifact_utils, standard_artifacts

from components.exporter import Executor, Exporter
from efficientdet.bundle import verify_manifest
from efficientdet.checkpoint import save_detector
from efficientdet.config import Config
from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.errors import ModelError
from efficientdet.infer import TFLiteDetector
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import build_detector

CONFIG = Config().override({"model": {"image_size": 64}, "export": {"calibration_images": 3}})
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
    Executor().Do(inputs, {"exported_model": [exported]}, {"fingerprint": "0"})
    bundle = Path(exported.uri)
    manifest = verify_manifest(bundle)
    assert manifest["label_map_hash"] == LABELS.hash
    assert TFLiteDetector(bundle / "model_int8.tflite").label_map == LABELS
    assert (bundle / "Format-Serving" / "saved_model.pb").is_file()
    assert [path.name for path in bundle.parent.iterdir()] == ["7"], "nothing is left aside"


def test_examples_of_other_classes_are_refused(trained: Artifact, exported: Artifact, tmp_path: Path):
    inputs = {"model": [trained], "examples": [write_examples(tmp_path / "others", LabelMap.from_names(["x"]))]}
    with pytest.raises(ModelError, match="its classes are not those of"):
        Executor().Do(inputs, {"exported_model": [exported]}, {"fingerprint": "0"})


def test_ports_of_the_node():
    model, examples = Channel(type=standard_artifacts.Model), Channel(type=standard_artifacts.Examples)
    node = Exporter(model=model, examples=examples, fingerprint="f00")
    assert set(node.inputs) == {"model", "examples"}
    assert node.outputs["exported_model"].type is standard_artifacts.Model
    assert node.exec_properties == {"fingerprint": "f00"}
