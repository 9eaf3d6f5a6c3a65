"""The SavedModel needs nothing but TensorFlow and answers in pixels of the original image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import anchors_for
from efficientdet.letterbox import letterbox
from efficientdet.model.detector import normalise
from efficientdet.model.postprocess import postprocess
from efficientdet.raw_names import by_level
from efficientdet.saved_model import CHUNK, export_saved_model

NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


@pytest.fixture(scope="module")
def loaded(tiny_export: Any) -> Any:
    return tf.saved_model.load(str(tiny_export.folder / "Format-Serving"))


@pytest.fixture(scope="module")
def pictures(tiny_export: Any) -> np.ndarray:
    """`[9, 50, 100, 3]`: one more than a chunk, wider than high, scaled by 0.64 on the way in."""
    wide = tf.image.resize(tiny_export.pictures, (50, 100), method="nearest").numpy()
    return np.concatenate([wide, wide[:1, ::-1]])[: CHUNK + 1]


@pytest.fixture(scope="module")
def answer(loaded: Any, pictures: np.ndarray) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in loaded.signatures["images"](images=tf.constant(pictures)).items()}


def test_all_signatures_agree(loaded: Any, pictures: np.ndarray, answer: dict[str, np.ndarray]):
    encoded = [tf.io.encode_png(picture).numpy() for picture in pictures]
    by_bytes = loaded.signatures["serving_default"](image_bytes=tf.constant(encoded))
    by_examples = loaded.signatures["examples"](examples=tf.constant([example_of(image) for image in encoded]))
    assert set(by_bytes) == set(by_examples) == set(answer) == set(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(by_bytes[name].numpy(), answer[name])
        np.testing.assert_array_equal(by_examples[name].numpy(), answer[name])


def example_of(encoded: bytes) -> bytes:
    """A serialised tf.Example of an image, and of something else that a record may hold."""
    features = tf.train.Features()
    features.feature["image/encoded"].bytes_list.value.append(encoded)
    features.feature["image/source_id"].bytes_list.value.append(b"7")
    return tf.train.Example(features=features).SerializeToString()


def test_answers_are_those_of_network_and_suppression_scaled_back(
    tiny_export: Any, pictures: np.ndarray, answer: dict[str, np.ndarray]
):
    config = tiny_export.config
    boxed = [letterbox(picture, (64, 64), config.model.architecture.mean) for picture in pictures]
    raw = tiny_export.model(normalise(tf.stack([canvas for canvas, _ in boxed]), config), training=False)
    boxes, scores, classes, count = postprocess(
        raw, anchors_for(config).boxes, 3, image_size=(64, 64), **config.nms.to_dict()
    )
    np.testing.assert_array_equal(answer["num_detections"], count)
    np.testing.assert_array_equal(answer["detection_classes"], classes)
    np.testing.assert_allclose(answer["detection_scores"], scores, atol=1e-5)
    expected = np.clip(boxes / np.float32(0.64), 0, [50, 100, 50, 100])
    np.testing.assert_allclose(answer["detection_boxes"], expected, atol=1e-2)
    assert answer["detection_classes"].dtype == np.int32
    assert answer["detection_boxes"][..., 0].max() > 10, "the network does find boxes"


def test_an_image_alone_or_in_company_is_answered_alike(
    loaded: Any, pictures: np.ndarray, answer: dict[str, np.ndarray]
):
    alone = loaded.signatures["images"](images=tf.constant(pictures[-1:]))
    np.testing.assert_allclose(alone["detection_scores"][0], answer["detection_scores"][-1], atol=1e-5)
    none = loaded.signatures["images"](images=tf.zeros([0, 50, 100, 3], tf.uint8))
    assert [none[name].shape.as_list() for name in NAMES] == [[0, 20, 4], [0, 20], [0, 20], [0]]


def test_grey_and_transparent_images_of_different_sizes_share_a_batch(loaded: Any):
    grey = tf.io.encode_jpeg(tf.zeros([40, 30, 1], tf.uint8))
    transparent = tf.io.encode_png(tf.zeros([20, 90, 4], tf.uint8))
    found = loaded.signatures["serving_default"](image_bytes=tf.stack([grey, transparent]))
    boxes = found["detection_boxes"].numpy()
    assert (boxes.max(axis=1) <= [[40, 30, 40, 30], [20, 90, 20, 90]]).all()


def test_raw_outputs_come_with_the_scale_of_each_image(every_format: Any, tmp_path: Path):
    config = every_format.config.override({"export": {"post_mode": None}})
    export_saved_model(every_format.model, config, every_format.label_map, tmp_path)
    model = tf.saved_model.load(str(tmp_path))
    wide = tf.image.resize(every_format.pictures[:1], (50, 100), method="nearest")
    found = model.signatures["images"](images=tf.repeat(wide, CHUNK + 1, axis=0))
    canvas, _ = letterbox(wide[0], (64, 64), config.model.architecture.mean)
    raw = every_format.model(normalise(canvas[None], config), training=False)
    np.testing.assert_allclose(found["scales"], [1 / 0.64] * (CHUNK + 1), rtol=1e-6)
    for level, expected in zip(by_level(found)[0], raw.class_logits, strict=True):
        np.testing.assert_allclose(level, tf.repeat(expected, CHUNK + 1, axis=0), atol=1e-3)


def test_loads_where_the_package_is_not_installed(tiny_export: Any, tmp_path: Path):
    program = (
        "import sys, tensorflow as tf; "
        f"model = tf.saved_model.load({str(tiny_export.folder / 'Format-Serving')!r}); "
        "print(model.signatures['images'](images=tf.zeros([1, 8, 8, 3], tf.uint8))['detection_boxes'].shape); "
        "assert not [name for name in sys.modules if name.startswith('efficientdet')]"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "(1, 20, 4)" in done.stdout, done.stderr


def test_config_and_label_map_travel_with_it(tiny_export: Any):
    extra = tiny_export.folder / "Format-Serving" / "assets.extra"
    assert (extra / "config.yaml").read_text() == tiny_export.config.to_yaml()
    assert (extra / "label_map.json").read_text() == tiny_export.label_map.to_json()
