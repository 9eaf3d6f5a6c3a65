"""The node tries a whole bundle against what was scored, and TFX and people can read the verdict."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import Artifact, Channel, standard_artifacts

from components.infra_validator import Executor, InfraValidator, read_records
from efficientdet.blessing import Blessing, Rule
from efficientdet.boxes import yxyx_to_xywh
from efficientdet.bundle import ASSETS_FOLDER, SAVED_MODEL_FOLDER, TFLITE_FILE, write_manifest
from efficientdet.coco_metric import Groundtruth
from efficientdet.config import Config
from efficientdet.data.example import AnnotatedImage, serialise
from efficientdet.errors import ConfigError, DataError
from efficientdet.infra_blessing import InfraBlessing
from efficientdet.label_map import LabelMap
from efficientdet.scored_image import Found, ScoredImage, write_scored_images
from efficientdet.tflite_flatbuffer import unpack_model
from efficientdet.tflite_metadata import pack_with_metadata

SIZE, IMAGES = 32, 5
LABELS = LabelMap.from_names(["bright"])
CONFIG = Config().override(f"model.image_size={SIZE},nms.max_detections=1")


class BrightDetector(tf.Module):
    """Finds the bright pixels of an image, as one object."""

    def find(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Box `[1, 4]` yxyx pixels and score `[1]`, which is how red the brightest pixel is."""
        bright = tf.cast(tf.cast(image[..., 0], tf.float32) > 100, tf.float32)
        low = [tf.cast(tf.argmax(tf.reduce_max(bright, axis=axis)), tf.float32) for axis in (1, 0)]
        high = [SIZE - tf.cast(tf.argmax(tf.reduce_max(bright, axis=axis)[::-1]), tf.float32) for axis in (1, 0)]
        return tf.stack(low + high)[None], tf.reduce_max(tf.cast(image, tf.float32))[None] / 255

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False)
    def detect_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def decoded(encoded: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape(tf.io.decode_image(encoded, 3, expand_animations=False), [SIZE, SIZE, 3])

        images = tf.map_fn(decoded, image_bytes, fn_output_signature=tf.uint8)
        return self.detect_images(tf.ensure_shape(images, [None, SIZE, SIZE, 3]))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False)
    def detect_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})
        return self.detect_bytes(parsed["image/encoded"])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")], autograph=False)
    def detect_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        boxes, scores = tf.map_fn(self.find, images, fn_output_signature=(tf.float32, tf.float32))
        count = tf.shape(images)[0]
        return {
            "detection_boxes": tf.ensure_shape(boxes, [None, 1, 4]),
            "detection_scores": tf.ensure_shape(scores, [None, 1]),
            "detection_classes": tf.ones(tf.stack([count, 1]), tf.int32),
            "num_detections": tf.ones(count[None], tf.int32),
        }

    @tf.function(input_signature=[tf.TensorSpec([1, SIZE, SIZE, 3], tf.uint8, name="images")], autograph=False)
    def detect_tflite(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        boxes, scores = self.find(images[0])
        return {
            "detection_boxes": boxes[None] / SIZE,
            "detection_scores": scores[None],
            "detection_classes": 0 * scores[None],
            "num_detections": 1 + 0 * scores,
        }


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files: a SavedModel, and two TFLite files."""
    folder, detector = tmp_path_factory.mktemp("bundle"), BrightDetector()
    signatures = {
        "serving_default": detector.detect_bytes,
        "images": detector.detect_images,
        "examples": detector.detect_examples,
    }
    tf.saved_model.save(detector, str(folder / SAVED_MODEL_FOLDER), signatures=signatures)
    functions = [detector.detect_tflite.get_concrete_function()]
    flatbuffer = tf.lite.TFLiteConverter.from_concrete_functions(functions, detector).convert()
    for name in (TFLITE_FILE, "model_float16.tflite"):
        (folder / name).write_bytes(pack_with_metadata(unpack_model(flatbuffer), CONFIG, LABELS))
    assets = folder / SAVED_MODEL_FOLDER / ASSETS_FOLDER
    assets.mkdir()
    for place in (folder, assets):
        (place / "config.yaml").write_text(CONFIG.to_yaml())
        (place / "label_map.json").write_text(LABELS.to_json())
    write_manifest(folder)
    return folder


class Split:
    """Pictures with a bright rectangle each, and what a detector of them finds."""

    def __init__(self, root: Path) -> None:
        rng = np.random.default_rng(0)
        self.examples, self.evaluation, self.images = root / "examples", root / "evaluation", list[ScoredImage]()
        records = []
        for i in range(IMAGES):
            y, x, h, w = rng.integers(4, 14, 4)
            pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
            pixels[y : y + h, x : x + w] = brightness = int(rng.integers(120, 256))
            box = np.array([[y, x, y + h, x + w]], float)
            records.append(serialise(self._annotated(f"{i}", pixels, box), LABELS))
            truth = Groundtruth(yxyx_to_xywh(box), [1], [False], [h * w])
            found = Found(yxyx_to_xywh(box), np.array([1], np.int32), np.array([brightness / 255]))
            each = dict.fromkeys(("float", "int8", "float16"), found)
            self.images.append(ScoredImage(f"{i}", SIZE, SIZE, truth, each))
        shard = self.examples / "Split-eval" / "data_tfrecord-00000-of-00001.gz"
        shard.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(shard), "GZIP") as writer:
            for record in records:
                writer.write(record)

    @staticmethod
    def _annotated(name: str, pixels: np.ndarray, box: np.ndarray) -> AnnotatedImage:
        return AnnotatedImage(
            source_id=name,
            file_name=f"{name}.png",
            encoded=tf.io.encode_png(pixels).numpy(),
            image_format="png",
            height=SIZE,
            width=SIZE,
            boxes=box.astype(np.float32),
            classes=np.array([1], np.int32),
            is_crowd=np.array([False]),
            area=np.array([1.0], np.float32),
            difficult=np.array([False]),
        )

    def evaluated(self, images: list[ScoredImage] | None = None) -> Split:
        """Writes what an evaluation saw, in two files and another order."""
        images = (self.images if images is None else images)[::-1]
        for part in range(2):
            write_scored_images(self.evaluation / f"scored_images/{part}.jsonl.gz", images[part::2])
        return self.judged(len(images))

    def judged(self, scored: int) -> Split:
        """Writes the Evaluator's record of so many scored images."""
        kept = Rule("images.int8", scored, IMAGES, "PASSED" if scored == IMAGES else "FAILED", "int8: images scored")
        Blessing((kept,), "eval", scored, IMAGES, metrics={}).write(self.evaluation)
        return self


def artifact(kind: type[Artifact], uri: Path) -> list[Artifact]:
    made = kind()
    made.uri = str(uri)
    uri.mkdir(parents=True, exist_ok=True)
    return [made]


def run(root: Path, bundle: Path, split: Split, **infra: Any) -> tuple[InfraBlessing, Artifact]:
    """The executor as TFX calls it."""
    inputs = {
        "model": artifact(standard_artifacts.Model, bundle),
        "examples": artifact(standard_artifacts.Examples, split.examples),
        "evaluation": artifact(standard_artifacts.ModelEvaluation, split.evaluation),
    }
    inputs["examples"][0].split_names = '["eval"]'
    [blessing] = artifact(standard_artifacts.InfraBlessing, root / "blessing")
    properties = {"infra": json.dumps(infra), "split": "eval", "fingerprint": ""}
    Executor().Do(inputs, {"blessing": [blessing]}, properties)
    return InfraBlessing.load(blessing.uri), blessing


def test_all_files_of_a_bundle_are_tried_and_blessed(bundle: Path, tmp_path: Path) -> None:
    verdict, blessing = run(tmp_path, bundle, Split(tmp_path).evaluated())
    assert (verdict.outcome, verdict.reasons) == ("INFRA_BLESSED", [])
    assert [(runtime.variant, runtime.agreement) for runtime in verdict.runtimes] == [
        ("float", 1),
        ("float16", 1),
        ("int8", 1),
    ]
    assert verdict.images == IMAGES
    written = {path.name for path in Path(blessing.uri).iterdir()}
    assert written == {"INFRA_BLESSED", "infra_blessing.json"}
    assert blessing.get_int_custom_property("blessed") == 1


def test_what_was_scored_differently_is_not_blessed(bundle: Path, tmp_path: Path) -> None:
    split, lighter = Split(tmp_path), tmp_path / "bundle"
    shutil.copytree(bundle, lighter, ignore=shutil.ignore_patterns(SAVED_MODEL_FOLDER, "manifest.json"))
    write_manifest(lighter)
    for image in split.images:
        image.found["int8"] = image.found["float"]._replace(scores=np.array([0.1]))
    verdict, blessing = run(tmp_path, lighter, split.evaluated(), images=2)
    missing, differs = verdict.reasons
    assert missing.startswith("float: cannot be run: ")
    assert differs.startswith("int8: finds something else than the evaluation did: 0.0% of the detections agree")
    assert verdict.images == 2
    assert (Path(blessing.uri) / "INFRA_NOT_BLESSED").is_file()
    assert not (Path(blessing.uri) / "INFRA_BLESSED").exists()
    assert blessing.get_int_custom_property("blessed") == 0


def test_what_was_not_scored_is_not_compared(tmp_path: Path) -> None:
    split = Split(tmp_path)
    split.evaluated([image for image in split.images if image.image_id != "1"])
    records = read_records(str(split.examples / "Split-eval"), split.evaluation, 3)
    assert [record.scored.image_id for record in records] == ["0", "2"]
    assert all(record.pixels.max() / 255 == record.scored.found["float"].scores[0] for record in records)


def test_where_nothing_was_scored_no_file_passes(bundle: Path, tmp_path: Path) -> None:
    lighter = tmp_path / "bundle"
    shutil.copytree(bundle, lighter, ignore=shutil.ignore_patterns(SAVED_MODEL_FOLDER, "manifest.json"))
    write_manifest(lighter)
    verdict, _ = run(tmp_path, lighter, Split(tmp_path).judged(scored=0), images=2)
    assert verdict.outcome == "INFRA_NOT_BLESSED"
    assert verdict.reasons[-1] == "int8: was not scored on image number 0; evaluate the bundle again"


def test_an_evaluation_of_other_images_is_no_verdict_on_the_model(bundle: Path, tmp_path: Path) -> None:
    split = Split(tmp_path)
    others = [replace(image, image_id=f"other {image.image_id}") for image in split.images]
    with pytest.raises(DataError, match=r"scored_images: holds none of the first 16 images of .*Split-eval"):
        run(tmp_path, bundle, split.evaluated(others))


def test_the_node_declares_what_the_executor_reads() -> None:
    channels = {
        "model": Channel(type=standard_artifacts.Model),
        "examples": Channel(type=standard_artifacts.Examples),
        "evaluation": Channel(type=standard_artifacts.ModelEvaluation),
    }
    node = InfraValidator(**channels, infra={"images": 3}, fingerprint="abc")
    assert set(node.inputs) == set(channels)
    assert node.outputs["blessing"].type is standard_artifacts.InfraBlessing
    assert (node.exec_properties["split"], node.exec_properties["fingerprint"]) == ("eval", "abc")
    assert json.loads(node.exec_properties["infra"])["images"] == 3
    with pytest.raises(ConfigError, match="timeout_s"):
        InfraValidator(**channels, infra={"timeout_s": 0})
