from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from efficientdet.check.picture import SIDE, thumbnail


def encoded(height: int, width: int) -> bytes:
    stored = io.BytesIO()
    Image.new("RGB", (width, height), (90, 90, 90)).save(stored, "PNG")
    return stored.getvalue()


def drawn(jpeg: bytes | None) -> np.ndarray:
    """`[h, w]` where the thumbnail shows red."""
    assert jpeg
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)), np.int16)
    return (pixels[..., 0] > 180) & (pixels[..., 1] < 100)


def test_a_box_is_drawn_where_it_is() -> None:
    red = drawn(thumbnail(encoded(960, 480), offenders=[(240, 120, 720, 360)]))
    assert red.shape == (SIDE + 6, SIDE // 2 + 6)
    rows, columns = np.nonzero(red)
    np.testing.assert_allclose([rows.min(), rows.max()], [63, 183], atol=2)
    np.testing.assert_allclose([columns.min(), columns.max()], [33, 93], atol=2)


@pytest.mark.parametrize("box", [(-500, -500, 1e9, 1e9), (300, 300, 100, 100), (50, 50, 50, 50), (900, 900, 950, 950)])
def test_whatever_a_box_is_it_is_seen(box: tuple) -> None:
    assert drawn(thumbnail(encoded(200, 200), offenders=[box])).any()


def test_boxes_that_are_not_finite_are_left_out() -> None:
    boxes = [(math.nan, 0, 1, 1), (0, 0, math.inf, 1)]
    assert not drawn(thumbnail(encoded(200, 200), boxes, boxes)).any()


@pytest.mark.parametrize("damaged", [b"", b"no image", encoded(200, 200)[:60]])
def test_what_does_not_decode_has_no_picture(damaged: bytes) -> None:
    assert thumbnail(damaged) is None
