"""MediaPipe Tasks, the real one, finds with our files what our own detector finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from efficientdet.config import Config
from efficientdet.image_source import read_image
from efficientdet.mediapipe_image import mediapipe_image
from efficientdet.tflite import export_tflite_float
from efficientdet.tflite_detector import TFLiteDetector, read_packed
from tests.efficientdet.same_boxes import assert_same

PHOTOS = ("burger.jpg", "cats_and_dogs.jpg", "multi_objects.jpg", "parrot.jpg", "pets.jpg")


def found_by(mediapipe: Any, model: Path, images: list[NDArray[np.uint8]]) -> list[list[dict[str, Any]]]:
    """MediaPipe's answers in pixels of each image."""
    config, _ = read_packed(model)
    pictures, scales = zip(*(mediapipe_image(image, config) for image in images), strict=True)
    answers = mediapipe(model, list(pictures))
    for records, scale, image in zip(answers, scales, images, strict=True):
        for one in records:
            one["box"] = np.clip(np.array(one["box"]) / scale, 0, np.tile(image.shape[:2], 2)).tolist()
    return answers


@pytest.mark.parametrize("numbers", ["int8", "float32"])
def test_mediapipe_finds_what_our_detector_finds(
    numbers: str, mediapipe: Any, tiny_export: Any, shared: Path, tmp_path: Path
):
    model = tiny_export.folder / "model_int8.tflite"
    if numbers == "float32":
        model = tmp_path / "model.tflite"
        export_tflite_float(tiny_export.model, tiny_export.config, tiny_export.label_map, model)
    images = [read_image(shared / "data/images" / name) for name in PHOTOS]
    detector = TFLiteDetector(model, num_threads=1)
    for records, image in zip(found_by(mediapipe, model, images), images, strict=True):
        assert_same(records, detector, image)


def test_mediapipe_names_classes_and_takes_any_picture_as_it_is(mediapipe: Any, tiny_export: Any, shared: Path):
    """Without `mediapipe_image` it stretches the picture: other boxes, but in pixels of the picture, with names."""
    image = read_image(shared / "data/images/pets.jpg")
    [records] = mediapipe(tiny_export.folder / "model_int8.tflite", [image])
    assert {one["name"] for one in records} == {"cat", "dog", "bird"}
    boxes = np.array([one["box"] for one in records])
    assert (boxes >= 0).all()
    assert (boxes <= [*image.shape[:2], *image.shape[:2]]).all()


def test_a_picture_is_the_networks_input_in_squares():
    image = np.random.default_rng(0).integers(0, 256, (30, 60, 3)).astype(np.uint8)
    picture, scale = mediapipe_image(image, Config().override({"model": {"image_size": 64}}), largest=200)
    assert picture.shape == (192, 192, 3)
    assert scale == pytest.approx(3 * 64 / 60)
    assert (picture[::3, ::3] == picture[2::3, 2::3]).all()
    assert (picture[96:] == 127).all(), "the rest of a lite model's input has the mean's colour"
