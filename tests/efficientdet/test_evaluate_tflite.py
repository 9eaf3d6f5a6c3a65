"""A TFLite file scores as its own answers deserve."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.evaluate_tflite import evaluate_tflite
from efficientdet.infer import TFLiteDetector


@pytest.fixture(scope="module")
def detector(tiny_export: Any) -> TFLiteDetector:
    return TFLiteDetector(tiny_export.folder / "model_int8.tflite", num_threads=1)


def write_answers(path: Path, detector: TFLiteDetector, export: Any, wrong: int = 0) -> None:
    """Examples whose groundtruth is what the detector finds, its class changed in the first `wrong` images."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for i, picture in enumerate(export.pictures):
            # of another size than the network's, so that answers must come back in pixels of the original
            picture = np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1)
            encoded = io.BytesIO()
            Image.fromarray(picture).save(encoded, "PNG")
            [(boxes, _, classes)] = detector([picture])
            seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # random weights also answer boxes beside the image
            boxes, classes = boxes[seen], classes[seen]
            classes = classes % 3 + 1 if i < wrong else classes
            sides = boxes[:, 2:] - boxes[:, :2]
            no = np.zeros(len(boxes), bool)
            image = AnnotatedImage(
                str(i), "a.png", encoded.getvalue(), "png", 128, 128, boxes, classes, no, sides.prod(axis=1), no
            )
            writer.write(to_example(image, export.label_map).SerializeToString())


def test_its_own_answers_are_found_again(tiny_export: Any, detector: TFLiteDetector, tmp_path: Path) -> None:
    write_answers(tmp_path / "own.gz", detector, tiny_export)
    scores = evaluate_tflite(detector, str(tmp_path / "own.gz"))
    assert (scores.images, scores.metrics["AR100"]) == (len(tiny_export.pictures), 1.0)


def test_those_of_other_classes_are_not(tiny_export: Any, detector: TFLiteDetector, tmp_path: Path) -> None:
    write_answers(tmp_path / "other.gz", detector, tiny_export, wrong=4)
    recall = evaluate_tflite(detector, str(tmp_path / "other.gz")).metrics["AR100"]
    assert recall is not None
    assert 0.4 < recall < 0.7
