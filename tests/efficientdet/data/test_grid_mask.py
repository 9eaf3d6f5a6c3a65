"""GridMask hides a regular grid of squares in half of the images."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.data.grid_mask import random_grid_mask, visible

WHITE = tf.fill((60, 90, 3), tf.constant(255, tf.uint8))


def masked(seed: int, image: tf.Tensor = WHITE) -> np.ndarray:
    return random_grid_mask(image, tf.constant([seed, 1])).numpy()


@settings(max_examples=30, deadline=None)
@given(period=st.integers(2, 30), start=st.tuples(st.integers(0, 29), st.integers(0, 29)))
def test_an_upright_grid_hides_one_square_a_period(period: int, start: tuple[int, int]):
    size = (3 * period, 4 * period)
    seen = visible(tf.constant(size), tf.constant(period, tf.float32), tf.constant(start, tf.float32), 0.0)
    hidden = ~seen.numpy()[..., 0]
    side = period - min(max(int(period * 0.6 + 0.5), 1), period - 1)
    assert hidden.sum() == 3 * 4 * side**2
    np.testing.assert_array_equal(hidden, np.outer(hidden.any(1), hidden.any(0)))
    np.testing.assert_array_equal(hidden, np.roll(hidden, (period, period), (0, 1)))
    assert not hidden[start[0] % period, start[1] % period], "a stripe begins at `start`"


def test_rotating_turns_the_grid_but_hides_as_much():
    upright, turned = (visible([300, 300], 20.0, tf.zeros(2), angle).numpy() for angle in (0.0, 0.15))
    assert (upright != turned).any()
    assert turned.mean() == pytest.approx(upright.mean(), abs=0.01)


def test_half_of_the_images_are_masked():
    changed = [not np.array_equal(masked(i), WHITE) for i in range(200)]
    assert 75 < sum(changed) < 125


def test_hidden_is_black_and_the_rest_as_before():
    image = tf.constant(np.random.default_rng(0).integers(1, 256, (60, 90, 3), np.uint8))
    result = next(m for m in (masked(i, image) for i in range(50)) if not np.array_equal(m, image))
    hidden = (result == 0).all(-1)
    assert 0.02 < hidden.mean() < 0.4
    np.testing.assert_array_equal(result[~hidden], image.numpy()[~hidden])
    assert result.dtype == np.uint8


def test_the_seed_alone_decides():
    np.testing.assert_array_equal([masked(i) for i in range(10)], [masked(i) for i in range(10)])
    assert len({masked(i).tobytes() for i in range(20)}) > 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_extreme_shapes(shape: tuple[int, int]):
    for i in range(5):
        assert masked(i, tf.ones((*shape, 3), tf.uint8)).shape == (*shape, 3)
