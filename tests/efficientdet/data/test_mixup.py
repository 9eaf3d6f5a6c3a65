"""Two images in one: a sum of pixels and both lists of boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.data.mixup import mixup, random_mixup, random_share
from efficientdet.data.scene import Scene

seeds = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)).map(tf.constant)


def noise(seed: int, boxes: int) -> Scene:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 20, (boxes, 4)).astype(np.float32)
    corners[:, 2:] += corners[:, :2]
    image = rng.uniform(0, 255, (40, 48, 3)).astype(np.float32)
    return Scene(tf.constant(image), tf.constant(corners), tf.constant(rng.integers(1, 9, boxes), tf.int32))


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1, width=32), st.integers(0, 3), st.integers(0, 3))
def test_every_box_is_kept_and_every_pixel_lies_between(share: float, first: int, second: int):
    one, other = noise(1, first), noise(2, second)
    image, boxes, classes = mixup(one, other, tf.constant(share))
    np.testing.assert_array_equal(boxes, tf.concat([one.boxes, other.boxes], 0))
    np.testing.assert_array_equal(classes, tf.concat([one.classes, other.classes], 0))
    np.testing.assert_allclose(image, share * one.image + (1 - share) * other.image, atol=1e-3)
    low, high = tf.minimum(one.image, other.image), tf.maximum(one.image, other.image)
    assert np.all(image >= low - 1e-3)
    assert np.all(image <= high + 1e-3)


def test_a_share_of_all_or_nothing_is_one_of_the_images():
    one, other = noise(1, 2), noise(2, 1)
    np.testing.assert_array_equal(mixup(one, other, tf.constant(0.0)).image, other.image)
    np.testing.assert_allclose(mixup(one, other, tf.constant(1.0)).image, one.image, atol=1e-4)


def test_colours_of_both_stay_in_their_boxes(painted: Callable, seen: Callable):
    @settings(max_examples=20, deadline=None)
    @given(painted(classes=(1,)), st.floats(0.25, 0.75))
    def check(scene: Scene, share: float) -> None:
        """On white, a red rectangle of any share darkens green and blue, and only inside its box."""
        one = scene._replace(image=tf.cast(scene.image, tf.float32))
        white = Scene(tf.fill(one.image.shape, 255.0), tf.zeros((0, 4)), tf.zeros((0,), tf.int32))
        image, [box], _ = mixup(one, white, tf.constant(share, tf.float32))
        top, left, bottom, right = box.numpy().astype(int)
        red = np.zeros(image.shape[:2], bool)
        red[top:bottom, left:right] = True
        np.testing.assert_array_equal(image[..., 0] > image[..., 1] + 50, red)

    check()


def test_shares_are_mostly_near_one_half():
    shares = np.array([random_share(tf.constant([i, 5])) for i in range(400)])
    assert shares.min() >= 0
    assert shares.max() <= 1
    # Beta(1.5, 1.5): mean 1/2, standard deviation 1/4
    assert abs(shares.mean() - 0.5) < 0.05
    assert abs(shares.std() - 0.25) < 0.03


def test_it_happens_as_often_as_asked_and_reads_the_other_only_then():
    one, other, asked = noise(1, 1), noise(2, 2), []

    def read() -> Scene:
        asked.append(1)
        return other

    for probability, least, most in ((0.0, 0, 0), (0.3, 15, 45), (1.0, 100, 100)):
        asked.clear()
        counts = [len(random_mixup(one, read, probability, tf.constant([i, 3])).boxes) for i in range(100)]
        assert least <= counts.count(3) <= most
        assert counts.count(1) + counts.count(3) == 100
        assert len(asked) == counts.count(3)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_same_seed_gives_the_same_image(seed: tf.Tensor):
    first, second = (random_mixup(noise(1, 1), lambda: noise(2, 1), 1.0, seed) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
