"""A model that answers at once, and images of every kind for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientdet.data.example import AnnotatedImage, serialise
from tests.efficientdet.square_model import LABELS, write_square_model


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFLite file that finds a square in every image."""
    return write_square_model(tmp_path_factory.mktemp("model") / "squares.tflite")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 11 images of several sizes and brightnesses, and one that is cut off."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(11):
        pixels = np.full((40 + number, 60, 3), 100 + 10 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    (folder / "cut.png").write_bytes((folder / "000.png").read_bytes()[:60])
    return folder


@pytest.fixture(scope="session")
def examples(images: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pattern of two gzip TFRecords with these images as examples, and a record that is none."""
    folder = tmp_path_factory.mktemp("examples")
    no_boxes = np.zeros((0, 4), np.float32)
    none, no, area = np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(0, np.float32)
    records = []
    for path in sorted(images.iterdir()):
        image = AnnotatedImage(
            f"1{path.stem}", path.name, path.read_bytes(), "png", 40, 60, no_boxes, none, no, area, no
        )  # fmt: skip
        records.append(serialise(image, LABELS))
    for shard in range(2):
        with tf.io.TFRecordWriter(str(folder / f"data-{shard}.gz"), "GZIP") as writer:
            for record in [*records[shard::2], b"\xff no example"][: 7 - shard]:
                writer.write(record)
    return f"{folder}/*"
