"""Pixels and boxes move as in google/automl's AutoAugment, and together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.data import image_ops as ops

PIXELS: dict[str, Callable] = {
    "solarize_128": lambda image: ops.solarize(image, 128),
    "solarize_add_40": lambda image: ops.solarize_add(image, 40),
    "color_1p4": lambda image: ops.color(image, 1.4),
    "color_0p4": lambda image: ops.color(image, 0.4),
    "contrast_1p4": lambda image: ops.contrast(image, 1.4),
    "brightness_0p5": lambda image: ops.brightness(image, 0.5),
    "posterize_4": lambda image: ops.posterize(image, 4),
    "autocontrast": ops.autocontrast,
    "equalize": ops.equalize,
    "rotate_20": lambda image: ops.move_image(image, ops.rotation(20.0)),
    "translate_x_7": lambda image: ops.move_image(image, ops.shift_x(7.0)),
    "shear_x_0p2": lambda image: ops.move_image(image, ops.shear_x(0.2)),
}
MOTIONS = {
    "rotate_bb_20": ops.rotation(20.0),
    "translate_x_bb_7": ops.shift_x(7.0),
    "translate_y_bb_m9": ops.shift_y(-9.0),
    "shear_x_bb": ops.shear_x(0.2),
    "shear_y_bb": ops.shear_y(-0.2),
}
FACTORS = {"brightness": ops.brightness, "color": ops.color, "contrast": ops.contrast, "sharpness": ops.sharpness}
MAKERS = {
    "rotation": (ops.rotation, 45.0),
    "shear_x": (ops.shear_x, 0.45),
    "shear_y": (ops.shear_y, 0.45),
    "shift_x": (ops.shift_x, 70.0),
    "shift_y": (ops.shift_y, 70.0),
}
sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))


def noise(size: tuple[int, int], seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    """golden/autoaugment_ops.npz: single operations of the reference on one image with three boxes."""
    return dict(np.load(shared / "golden" / "autoaugment_ops.npz"))


@pytest.fixture(scope="module")
def scale(golden: dict[str, np.ndarray]) -> np.ndarray:
    """What makes pixels of the reference's normalised boxes."""
    return np.tile(np.float32(golden["image"].shape[:2]), 2)


def test_every_golden_array_is_compared(golden: dict[str, np.ndarray]):
    moved = {f"{name}/{part}" for name in MOTIONS for part in ("image", "boxes")}
    assert set(golden) == {"image", "boxes", "sharpness_1p7"} | set(PIXELS) | moved


@pytest.mark.parametrize("name", PIXELS)
def test_pixels_equal_the_reference(golden: dict[str, np.ndarray], name: str):
    """golden/autoaugment_ops.npz, arrays without boxes."""
    np.testing.assert_array_equal(PIXELS[name](tf.constant(golden["image"])), golden[name])


def test_sharpness_equals_the_reference(golden: dict[str, np.ndarray]):
    """golden/autoaugment_ops.npz; of a mean that is whole the reference loses one on some processors."""
    image = golden["image"]
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(int), (3, 3), axis=(0, 1))
    means = np.zeros(image.shape)
    means[1:-1, 1:-1] = (windows.sum(axis=(-1, -2)) + 4 * windows[..., 1, 1]) / 13
    found, expected = (
        np.asarray(ops.sharpness(tf.constant(image), 1.7)).astype(int),
        golden["sharpness_1p7"].astype(int),
    )
    whole = means == np.floor(means)
    np.testing.assert_array_equal(found[~whole], expected[~whole])
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("name", MOTIONS)
def test_motions_equal_the_reference(golden: dict[str, np.ndarray], scale: np.ndarray, name: str):
    """golden/autoaugment_ops.npz, `*/image` and `*/boxes`."""
    image = tf.constant(golden["image"])
    np.testing.assert_array_equal(ops.move_image(image, MOTIONS[name]), golden[f"{name}/image"])
    boxes = ops.move_boxes(golden["boxes"] * scale, tf.shape(image)[:2], MOTIONS[name])
    np.testing.assert_allclose(boxes / scale, golden[f"{name}/boxes"], atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(sorted(MAKERS)), strength=st.floats(-1, 1), seed=st.integers(0, 999))
def test_boxes_follow_pixels(name: str, strength: float, seed: int):
    """A white rectangle stays inside of its box, which stays inside of the image and is hardly larger than needed."""
    maker, strongest = MAKERS[name]
    motion = maker(strength * strongest)
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, 40, 2)
    bottom, right = (top, left) + rng.integers(4, 20, 2)
    image = np.zeros((60, 60, 3), np.uint8)
    image[top:bottom, left:right] = 255
    white = np.argwhere(ops.move_image(tf.constant(image), motion).numpy()[..., 0] == 255)
    box = ops.move_boxes(tf.constant([[top, left, bottom, right]], tf.float32), [60, 60], motion)[0].numpy()
    assert np.all(box >= 0)
    assert np.all(box <= 60)
    if len(white):
        assert np.all(white.min(0) >= box[:2] - 2)
        assert np.all(white.max(0) + 1 <= box[2:] + 2)
    if box.min() > 0 and box.max() < 60:  # nothing was cut off
        assert np.all(white.min(0) <= box[:2] + 3)
        assert np.all(white.max(0) + 1 >= box[2:] - 3)


@settings(max_examples=15, deadline=None)
@given(sizes, st.sampled_from(sorted(MAKERS)), st.integers(0, 99))
def test_no_motion_is_identity(size: tuple[int, int], name: str, seed: int):
    motion = MAKERS[name][0](0.0)
    image = noise(size, seed)
    np.testing.assert_array_equal(ops.move_image(image, motion), image)
    # Even sides: the centre of an odd one lies in the middle of a pixel and boxes are kept to whole ones.
    boxes = tf.constant([[2, 4, 20, 10], [0, 0, 40, 60]], tf.float32)
    np.testing.assert_array_equal(ops.move_boxes(boxes, [40, 60], motion), boxes)


@settings(max_examples=15, deadline=None)
@given(sizes, st.integers(0, 99))
def test_a_factor_of_one_is_identity(size: tuple[int, int], seed: int):
    image = noise(size, seed)
    for name, change in FACTORS.items():
        np.testing.assert_array_equal(change(image, 1.0), image, err_msg=name)
    np.testing.assert_array_equal(ops.solarize(image, 256), image)
    np.testing.assert_array_equal(ops.solarize_add(image, 0), image)
    np.testing.assert_array_equal(ops.posterize(image, 8), image)


@settings(max_examples=15, deadline=None)
@given(sizes, st.integers(0, 255))
def test_a_single_value_has_no_contrast_to_stretch(size: tuple[int, int], value: int):
    image = tf.fill((*size, 3), tf.constant(value, tf.uint8))
    np.testing.assert_array_equal(ops.autocontrast(image), image)
    np.testing.assert_array_equal(ops.equalize(image), image)


def test_autocontrast_reaches_both_ends_of_each_channel():
    stretched = ops.autocontrast(noise((20, 20)) // 3 + 50).numpy()
    assert stretched.min((0, 1)).tolist() == [0, 0, 0]
    assert stretched.max((0, 1)).tolist() == [255, 255, 255]


def test_equalizing_keeps_the_order_of_values():
    image = noise((64, 64)) // 4
    equal = ops.equalize(image).numpy()
    for channel in range(3):
        by_value = equal[..., channel].ravel()[np.argsort(image.numpy()[..., channel].ravel(), kind="stable")]
        assert np.all(np.diff(by_value.astype(int)) >= 0)
        assert by_value[0] == 0
        assert by_value[-1] > 250


def test_posterizing_keeps_at_least_one_bit():
    assert set(np.unique(ops.posterize(noise((9, 9)), 0))) == {0, 128}


def test_what_left_the_image_is_degenerate_and_stays_so():
    boxes = tf.constant([[0, 0, 10, 10], [30, 30, 39, 39]], tf.float32)
    gone = ops.move_boxes(boxes, [40, 40], ops.shift_x(20.0))
    assert ops.has_area(gone).numpy().tolist() == [False, True]
    back = ops.move_boxes(ops.move_boxes(gone, [40, 40], ops.rotation(30.0)), [40, 40], ops.shift_x(-20.0))
    assert ops.has_area(back).numpy().tolist() == [False, True]


def test_no_boxes_stay_no_boxes():
    assert ops.move_boxes(tf.zeros((0, 4)), [40, 40], ops.rotation(5.0)).shape == (0, 4)


@pytest.mark.parametrize(("centre", "erased"), [((5, 5), 16), ((0, 0), 4), ((9, 11), 9), ((0, 11), 6)])
def test_erasing_greys_a_rectangle_as_far_as_it_is_inside(centre: tuple[int, int], erased: int):
    image = ops.erase(tf.zeros((10, 12, 3), tf.uint8), tf.constant(centre), tf.constant([2, 2])).numpy()
    assert (image == ops.GREY).all(-1).sum() == erased
    assert set(np.unique(image)) == {0, ops.GREY}
