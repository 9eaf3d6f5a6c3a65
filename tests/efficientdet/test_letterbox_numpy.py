"""The letterbox without TensorFlow gives the pixels of the one with it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet import letterbox as by_tensorflow
from efficientdet import letterbox_numpy as by_numpy

SIDES = st.integers(1, 200)
MEAN = (123.675, 116.28, 103.53)


@settings(max_examples=60, deadline=None)
@given(height=SIDES, width=SIDES, size=st.tuples(st.integers(32, 96), st.integers(32, 96)), seed=st.integers(0, 99))
def test_equal_to_tensorflow_up_to_rounding(height: int, width: int, size: tuple[int, int], seed: int):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ours, scale = by_numpy.letterbox(image, size, MEAN)
    theirs, their_scale = by_tensorflow.letterbox(tf.constant(image), size, MEAN)
    assert scale == their_scale.numpy()
    # half a grey level of rounding to uint8, and float32 arithmetic in another order
    assert np.abs(ours - theirs.numpy()).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(("shape", "scale", "inner"), [((480, 640), 0.1, (48, 64)), ((10, 20), 3.2, (32, 64))])
def test_placed_top_left_on_the_pad_colour(shape: tuple[int, int], scale: float, inner: tuple[int, int]):
    canvas, found = by_numpy.letterbox(np.full((*shape, 3), 200, np.uint8), (64, 64), (127, 0, 255))
    assert found == np.float32(scale)
    assert (canvas[: inner[0], : inner[1]] == 200).all()
    assert (canvas[inner[0] :] == (127, 0, 255)).all()
