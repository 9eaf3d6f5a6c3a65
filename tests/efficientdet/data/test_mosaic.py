"""Four images in one: every box is where its pixels are, and gone only with them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.config import DataConfig
from efficientdet.data.augment import augment
from efficientdet.data.mosaic import FARTHEST, NEAREST, mosaic, random_mosaic
from efficientdet.data.scene import Scene

SIZE = (48, 64)
PAD = (12.4, 33.6, 50.0)
SHARES = st.tuples(*[st.floats(NEAREST, FARTHEST, width=32)] * 2)
seeds = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)).map(tf.constant)


def plain(value: int, height: int = 48, width: int = 64) -> Scene:
    """An image of one grey with a box around all of it, of the class of that number."""
    image = tf.fill((height, width, 3), tf.constant(value, tf.uint8))
    return Scene(image, tf.constant([[0.0, 0, height, width]]), tf.constant([value]))


@settings(max_examples=30, deadline=None)
@given(st.data(), SHARES)
def test_pixels_follow_boxes(
    painted: Callable, in_step: Callable[..., None], data: st.DataObject, shares: tuple[float, float]
):
    after = mosaic([data.draw(painted()) for _ in range(4)], SIZE, PAD, tf.constant(shares))
    assert after.image.shape == (96, 128, 3)
    assert after.image.dtype == tf.uint8
    in_step(after)


@settings(max_examples=30, deadline=None)
@given(st.data(), SHARES)
def test_boxes_go_only_with_their_pixels(
    painted: Callable, seen: Callable, data: st.DataObject, shares: tuple[float, float]
):
    """Each image has a class of its own here, so a lost one is a colour that is nowhere."""
    scenes = [data.draw(painted(classes=(class_id,))) for class_id in (1, 2, 3, 4)]
    after = mosaic(scenes, SIZE, PAD, tf.constant(shares))
    assert len(after.boxes) == len(after.classes) == len(set(after.classes.numpy()))
    for class_id in {1, 2, 3, 4} - set(after.classes.numpy()):
        assert not seen(after.image, class_id).any()


@settings(max_examples=15, deadline=None)
@given(st.data(), seeds)
def test_it_stays_in_step_through_all_that_follows(
    painted: Callable, in_step: Callable[..., None], data: st.DataObject, seed: tf.Tensor
):
    scenes = [data.draw(painted()) for _ in range(4)]
    joined = random_mosaic(lambda i: scenes[i], 1.0, SIZE, PAD, seed)
    in_step(augment(*joined, SIZE, PAD, DataConfig(jitter_min=0.5, jitter_max=2), seed), margin=3)


def test_the_four_meet_in_one_point_and_cover_what_they_can():
    scenes = [plain(1), plain(2, 48, 32), plain(3, 24, 64), plain(4, 96, 128)]
    image, boxes, classes = mosaic(scenes, SIZE, PAD, tf.constant([0.25, 0.75]))  # at row 24, column 96
    assert classes.numpy().tolist() == [1, 2, 3, 4]
    assert boxes.numpy().tolist() == [[0, 32, 24, 96], [0, 96, 24, 128], [24, 32, 48, 96], [24, 96, 72, 128]]
    expected = np.full((96, 128, 3), np.round(PAD))
    for value, (top, left, bottom, right) in zip(classes, boxes.numpy().astype(int), strict=True):
        expected[top:bottom, left:right] = value
    np.testing.assert_array_equal(image, expected)


def test_an_image_of_its_own_size_is_only_moved():
    rng = np.random.default_rng(0)
    scenes = [plain(1)._replace(image=tf.constant(rng.integers(0, 256, (48, 64, 3)), tf.uint8)) for _ in range(4)]
    image, *_ = mosaic(scenes, SIZE, PAD, tf.constant([0.5, 0.5]))
    for number, (row, column) in enumerate(((0, 0), (0, 64), (48, 0), (48, 64))):
        np.testing.assert_array_equal(image[row : row + 48, column : column + 64], scenes[number].image)


def test_it_happens_as_often_as_asked_and_reads_the_others_only_then():
    asked: list[int] = []

    def scene(number: int) -> Scene:
        asked.append(number)
        return plain(number)

    for probability, least, most in ((0.0, 0, 0), (0.3, 15, 45), (1.0, 100, 100)):
        asked.clear()
        sizes = [random_mosaic(scene, probability, SIZE, PAD, tf.constant([i, 3])).image.shape for i in range(100)]
        assert least <= sizes.count((96, 128, 3)) <= most
        assert asked.count(0) == 100
        assert asked.count(3) == sizes.count((96, 128, 3))


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_same_seed_gives_the_same_image(seed: tf.Tensor):
    first, second = (random_mosaic(plain, 1.0, SIZE, PAD, seed) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    centres = {tuple(random_mosaic(plain, 1.0, SIZE, PAD, seed + [0, i]).boxes[0].numpy()) for i in range(8)}
    assert len(centres) > 4


def test_extreme_shapes():
    scenes = [plain(1, 1, 300), plain(2, 300, 1), plain(3, 1, 1), plain(4)._replace(boxes=tf.zeros((0, 4)))]
    scenes[3] = scenes[3]._replace(classes=tf.zeros((0,), tf.int32))
    image, boxes, classes = mosaic(scenes, SIZE, PAD, tf.constant([0.5, 0.5]))
    assert image.shape == (96, 128, 3)
    assert boxes.shape == (3, 4)
    assert classes.numpy().tolist() == [1, 2, 3]
