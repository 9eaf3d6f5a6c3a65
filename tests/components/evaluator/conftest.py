"""A tiny world to evaluate in: pictures of bright rectangles, and a detector of bright rectangles."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE, write_manifest
from efficientdet.config import Config
from efficientdet.data import ledger
from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.label_map import LabelMap

SIZE, IMAGES = 64, 12
LABELS = LabelMap.from_names(["red", "green"])
SLOTS = len(LABELS)


class RectangleDetector(tf.Module):
    """Finds the extent of the bright pixels of each colour, and reports it `shift` pixels too low."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = tf.Variable(float(shift))

    def find(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes `[k, 4]` yxyx pixels and scores `[k]`, one slot per class; a colour not there scores 0."""
        boxes, scores = [], []
        for channel in range(SLOTS):
            bright = tf.cast(image[..., channel] > 128, tf.float32)
            sides = [tf.reduce_max(bright, axis=axis) for axis in (1, 0)]
            low = [tf.cast(tf.argmax(side), tf.float32) for side in sides]
            high = [SIZE - tf.cast(tf.argmax(side[::-1]), tf.float32) for side in sides]
            boxes.append(tf.stack([low[0] + self.shift, low[1], high[0] + self.shift, high[1]]))
            scores.append(0.9 * tf.reduce_max(bright))
        return tf.stack(boxes), tf.stack(scores)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def one(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self.find(tf.io.decode_image(encoded, channels=3, expand_animations=False))

        boxes, scores = tf.map_fn(one, image_bytes, fn_output_signature=(tf.float32, tf.float32))
        batch = tf.shape(boxes)[0]
        return {
            "detection_boxes": tf.ensure_shape(boxes, [None, SLOTS, 4]),
            "detection_scores": scores,
            "detection_classes": tf.tile(tf.range(1, SLOTS + 1)[None], [batch, 1]),
            "num_detections": tf.fill([batch], SLOTS),
        }

    @tf.function(input_signature=[tf.TensorSpec([1, SIZE, SIZE, 3], tf.uint8, name="images")])
    def serve_tflite(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        boxes, scores = self.find(tf.cast(images[0], tf.float32))
        return {
            "detection_boxes": boxes[None] / SIZE,
            "detection_scores": scores[None],
            "detection_classes": tf.range(SLOTS, dtype=tf.float32)[None] + 0 * scores[None],
            "num_detections": SLOTS + 0 * scores[:1],
        }


def local_beam() -> beam.Pipeline:
    """A pipeline in this process; TFX, given arguments for one, packs itself for remote workers each time."""
    return beam.Pipeline(argv=["--runner=FnApiRunner"])


def write_bundle(
    folder: Path, shift: float, int8_shift: float, label_map: LabelMap = LABELS, more: Mapping[str, float] | None = None
) -> Path:
    """A whole bundle whose SavedModel and TFLite report boxes so many pixels too low; `more` such files by variant."""
    config = Config().override(f"model.image_size={SIZE},nms.max_detections={SLOTS}").to_yaml()
    saved = RectangleDetector(shift)
    tf.saved_model.save(saved, str(folder / SAVED_MODEL_FOLDER), signatures={"serving_default": saved.serve})
    for name, lower in ({"int8": int8_shift} | dict(more or {})).items():
        lite = RectangleDetector(lower)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([lite.serve_tflite.get_concrete_function()], lite)
        (folder / f"model_{name}.tflite").write_bytes(converter.convert())
        with zipfile.ZipFile(folder / f"model_{name}.tflite", "a") as packed:
            packed.writestr("config.yaml", config)
            packed.writestr("label_map.json", label_map.to_json())
    (folder / "config.yaml").write_text(config)
    (folder / "label_map.json").write_text(label_map.to_json())
    write_manifest(folder)
    return folder


class CrashingDetector(tf.Module):
    """Has its post-processing multiply two numbers in 32 bits: it makes room for nothing, and writes."""

    @tf.function(input_signature=[tf.TensorSpec([1, SIZE, SIZE, 3], tf.uint8, name="images")], autograph=False)
    def detect(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        pixel = tf.reduce_max(tf.cast(images, tf.float32)) / 255
        options = {"max_detections": "i: 65536", "max_classes_per_detection": "i: 65536", "num_classes": "i: 2"}
        options |= {"use_regular_nms": "b: false", "detections_per_class": "i: 1"}
        options |= {"nms_score_threshold": "f: 0", "nms_iou_threshold": "f: 1"}
        options |= {f"{side}_scale": "f: 1" for side in "yxhw"}
        attributes = " ".join(f'attr {{ key: "{key}" value {{ {value} }} }}' for key, value in options.items())

        @tf.function(experimental_implements=f'name: "TFLite_Detection_PostProcess" {attributes}')
        def suppress(deltas: tf.Tensor, scores: tf.Tensor, anchors: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return tf.zeros([1, SLOTS, 4]), tf.zeros([1, SLOTS]), tf.zeros([1, SLOTS]), tf.zeros([1])

        anchors = tf.constant([[0.5, 0.5, 0.2, 0.2]] * 8)
        found = suppress(tf.zeros([1, 8, 4]) + pixel, tf.zeros([1, 8, 3]) + pixel, anchors)
        names = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
        return dict(zip(names, found, strict=True))


def write_crashing_bundle(folder: Path, whole: Path) -> Path:
    """The bundle `whole`, but for a TFLite file that takes its process down when it is run."""
    shutil.copytree(whole, folder)
    detector = CrashingDetector()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([detector.detect.get_concrete_function()], detector)
    converter.allow_custom_ops = True
    (folder / TFLITE_FILE).write_bytes(converter.convert())
    with zipfile.ZipFile(folder / TFLITE_FILE, "a") as packed:
        for name in ("config.yaml", "label_map.json"):
            packed.write(whole / name, name)
    write_manifest(folder)
    return folder


def picture(rng: np.random.Generator, classes: list[int], name: str, group: str | None = None) -> AnnotatedImage:
    """One rectangle of each class, on black."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    boxes = []
    for class_id in classes:
        y, x, h, w = rng.integers(8, 24, 4)
        pixels[y : y + h, x : x + w, class_id - 1] = 255
        boxes.append((y, x, y + h, x + w))
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return AnnotatedImage(
        source_id=name,
        file_name=f"{name}.png",
        encoded=encoded.getvalue(),
        image_format="png",
        height=SIZE,
        width=SIZE,
        boxes=corners,
        classes=np.array(classes, np.int32),
        is_crowd=np.zeros(len(classes), bool),
        area=(corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]),
        difficult=np.zeros(len(classes), bool),
        group=group,
    )


def write_examples(folder: Path, class_lists: list[list[int]], shards: int = 1) -> Path:
    """An Examples artifact's folder with gzip shards in Split-eval, label map and ledger; every third image is dark."""
    rng = np.random.default_rng(7)
    records = [
        to_example(picture(rng, classes, f"{i}", "light" if i % 3 else "dark"), LABELS).SerializeToString()
        for i, classes in enumerate(class_lists)
    ]
    write_records(folder, records, shards)
    (folder / "label_map.json").write_text(LABELS.to_json())
    counted = ledger.Ledger(images=ledger.Count(read=len(class_lists), kept=len(class_lists)))
    (folder / ledger.FILE_NAME).write_text(ledger.to_json({"eval": counted}))
    return folder


def write_records(folder: Path, records: Sequence[bytes], shards: int = 1) -> None:
    """The shards of Split-eval."""
    (folder / "Split-eval").mkdir(parents=True)
    for shard in range(shards):
        path = folder / "Split-eval" / f"data_tfrecord-{shard:05d}-of-{shards:05d}.gz"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for record in records[shard::shards]:
                writer.write(record)


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures with no, one or both rectangles."""
    class_lists = [[], [1], [2], [1, 2]] * (IMAGES // 4)
    return write_examples(tmp_path_factory.mktemp("examples"), class_lists)


@pytest.fixture(scope="session")
def empty_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures without any object."""
    return write_examples(tmp_path_factory.mktemp("empty"), [[], [], []])


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`bundle(shift, int8_shift)`: the folder of a bundle whose files are that many pixels off, made once."""
    made: dict[tuple[float, float], Path] = {}

    def make(shift: float = 0, int8_shift: float = 0) -> Path:
        if (shift, int8_shift) not in made:
            made[shift, int8_shift] = write_bundle(tmp_path_factory.mktemp("bundle"), shift, int8_shift)
        return made[shift, int8_shift]

    return make


@pytest.fixture(scope="session")
def three_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with one file more than the usual two; `float`, `float16`, `int8` are 1, 3 and 2 pixels off."""
    return write_bundle(tmp_path_factory.mktemp("three"), 1, 2, more={"float16": 3})
