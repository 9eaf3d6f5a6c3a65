"""Laws of augmentation: boxes stay in step with pixels, nothing is lost without reason."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.config import DataConfig
from efficientdet.data.augment import augment, random_flip, random_light, random_scale_crop

SIZE = (64, 48)
PAD = (0.0, 0.0, 0.0)
IDENTITY = DataConfig(flip=False, jitter_min=1, jitter_max=1)


def scene(height: int = 40, width: int = 60) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """A dark image with one white rectangle per box."""
    boxes = np.array([[4, 6, 14, 22], [20, 30, 36, 54]], np.float32)
    image = np.zeros((height, width, 3), np.float32)
    for ymin, xmin, ymax, xmax in boxes.astype(int):
        image[ymin:ymax, xmin:xmax] = 255
    return tf.constant(image), tf.constant(boxes), tf.constant([1, 2])


seeds = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)).map(tf.constant)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_pixels_follow_boxes(seed: tf.Tensor):
    image, boxes, classes = scene()
    config = DataConfig(jitter_min=0.5, jitter_max=2)
    image, boxes, classes = (t.numpy() for t in augment(image, boxes, classes, SIZE, PAD, config, seed))
    assert image.shape == (*SIZE, 3)
    assert np.all(boxes >= 0)
    assert np.all(boxes <= [*SIZE, *SIZE])
    covered = np.zeros(SIZE, bool)
    for ymin, xmin, ymax, xmax in boxes:
        assert ymax > ymin
        assert xmax > xmin
        inner = image[int(np.ceil(ymin + 1)) : int(ymax - 1), int(np.ceil(xmin + 1)) : int(xmax - 1)]
        assert inner.size == 0 or inner.min() > 200
        covered[max(int(ymin) - 2, 0) : int(ymax) + 3, max(int(xmin) - 2, 0) : int(xmax) + 3] = True
    assert image[~covered].size == 0 or image[~covered].max() < 60, "white pixels outside of every box"


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_same_seed_gives_the_same_image(seed: tf.Tensor):
    first, second = (augment(*scene(), SIZE, PAD, DataConfig(brightness=0.3), seed) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_strength_zero_is_the_letterbox():
    image, boxes, classes = scene()
    boxed, scaled, kept = augment(image, boxes, classes, SIZE, PAD, IDENTITY, tf.constant([0, 0]))
    np.testing.assert_allclose(scaled, boxes.numpy() * 0.8, rtol=1e-6)
    assert kept.numpy().tolist() == [1, 2]
    assert np.all(boxed[32:] == 0)


def test_flipping_happens_half_the_time_and_undoes_itself():
    image, boxes, _ = scene()
    flipped = [random_flip(image, boxes, tf.constant([i, 7])) for i in range(200)]
    moved = [f for f in flipped if not np.array_equal(f[1], boxes)]
    assert 70 < len(moved) < 130
    mirrored = moved[0]
    np.testing.assert_array_equal(mirrored[0][:, ::-1], image)
    np.testing.assert_allclose(60 - mirrored[1][:, 3], boxes[:, 1])


def test_no_box_is_lost_when_the_whole_image_fits():
    image, boxes, _ = scene()
    for i in range(20):
        _, scaled = random_scale_crop(image, boxes, SIZE, PAD, (0.2, 1.0), tf.constant([i, 0]))
        scale = scaled.numpy()[0, 0] / boxes.numpy()[0, 0]
        # The scaled image has whole pixels: less than one of them may be cut.
        np.testing.assert_allclose(scaled, boxes.numpy() * scale, atol=1)


def test_light_stays_in_range():
    image, _, _ = scene()
    changed = random_light(image, 0.9, tf.constant([1, 2])).numpy()
    assert changed.min() >= 0
    assert changed.max() <= 255


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 1)])
def test_extreme_shapes(shape: tuple[int, int]):
    image = tf.zeros((*shape, 3))
    no_boxes = tf.zeros((0, 4)), tf.zeros((0,), tf.int32)
    for i in range(5):
        out, boxes, classes = augment(image, *no_boxes, SIZE, PAD, DataConfig(), tf.constant([i, i]))
        assert out.shape == (*SIZE, 3)
        assert boxes.shape == (0, 4)
        assert classes.shape == (0,)
