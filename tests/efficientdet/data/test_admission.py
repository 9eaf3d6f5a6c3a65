"""Boxes of any kind meet an image: what comes out is sound, and everything is accounted for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from efficientdet.data.admission import admit
from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation

HEIGHT, WIDTH = 30, 40
NUMBERS = st.floats(-60, 60) | st.integers(-60, 60).map(float) | st.sampled_from([float("nan"), float("inf"), 1e300])
BOXES = st.lists(
    st.builds(
        BoxAnnotation,
        record=st.just("annotation 1"),
        category=st.sampled_from([1, 7, "cat", None]),
        corners=st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
        area=st.none() | st.floats(1, 100),
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    Image.linear_gradient("L").resize((WIDTH, HEIGHT)).save(folder / "a.png")
    return folder


@settings(deadline=None)
@given(boxes=BOXES)
def test_every_box_is_kept_clipped_or_dropped(folder: Path, boxes: list[BoxAnnotation]) -> None:
    entry = ImageAnnotation("a.json", "image 1", "1", "a.png", HEIGHT, WIDTH, boxes)
    image, ledger = admit(entry, folder, "", {1: 1, 7: 2})
    assert image is not None
    assert ledger.boxes.read == len(boxes)
    assert len(image.boxes) == ledger.boxes.kept + ledger.boxes.clipped
    assert len(ledger.findings) == ledger.boxes.dropped.total()
    assert (image.boxes >= 0).all()
    assert (image.boxes <= [HEIGHT, WIDTH, HEIGHT, WIDTH]).all()
    assert (image.boxes[:, 2:] > image.boxes[:, :2]).all()
    assert np.isin(image.classes, [1, 2]).all()
    assert (image.area > 0).all()
    sizes = {len(values) for values in (image.boxes, image.classes, image.is_crowd, image.area, image.difficult)}
    assert len(sizes) == 1


@settings(deadline=None)
@given(boxes=BOXES)
def test_a_dropped_image_takes_all_its_boxes(folder: Path, boxes: list[BoxAnnotation]) -> None:
    image, ledger = admit(ImageAnnotation("a.json", "image 1", "1", "b.png", boxes=boxes), folder, "", {1: 1})
    assert image is None
    assert (ledger.images.read, ledger.boxes.read) == (1, len(boxes))
    assert ledger.boxes.dropped.total() == len(boxes)


def test_rounding_of_a_sum_is_not_a_clipping(folder: Path) -> None:
    right = 17.3 + (WIDTH - 17.3) + 4e-15
    box = BoxAnnotation("annotation 1", 1, (0.0, 17.3, 30.0, right + 1e-9))
    _, ledger = admit(ImageAnnotation("a.json", "image 1", "1", "a.png", boxes=[box]), folder, "", {1: 1})
    assert (ledger.boxes.kept, ledger.boxes.clipped) == (1, 0)


@pytest.mark.parametrize("cut", [1, 4, 12, 20, 60])
def test_what_training_cannot_decode_is_dropped(folder: Path, tmp_path: Path, cut: int) -> None:
    (tmp_path / "a.png").write_bytes((folder / "a.png").read_bytes()[:-cut])
    image, ledger = admit(ImageAnnotation("a.json", "image 1", "1", "a.png"), tmp_path, "", {})
    if image is None:
        assert ledger.images.dropped == {"undecodable image": 1}
        assert "a.png cannot be decoded" in ledger.findings[0].message
    else:
        assert tf.io.decode_image(image.encoded).shape == (HEIGHT, WIDTH, 1)
