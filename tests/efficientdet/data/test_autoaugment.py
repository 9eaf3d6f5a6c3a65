"""Policies are google/automl's, and what they do to boxes and pixels depends on the seed alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.data import image_ops as ops
from efficientdet.data.autoaugment import INSIDE_BOXES, OPERATIONS, POLICIES, autoaugment, change_inside_boxes

SEED = tf.constant([3, 4])
BOXES = tf.constant([[4, 6, 24, 32], [30, 40, 56, 74], [10, 10, 10, 40]], tf.float32)
NO_BOXES = tf.zeros((0, 4))
seeds = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)).map(tf.constant)

# What levels mean in the reference, for the levels its policies use and RandAugment's 15.
ARGUMENTS = [
    ("Posterize", 2, ops.posterize, 0),
    ("Posterize", 10, ops.posterize, 4),
    ("Solarize", 6, ops.solarize, 153),
    ("Solarize", 8, ops.solarize, 204),
    ("Solarize", 15, ops.solarize, 384),
    ("SolarizeAdd", 2, ops.solarize_add, 22),
    ("SolarizeAdd", 15, ops.solarize_add, 165),
    ("Color", 0, ops.color, 0.1),
    ("Color", 15, ops.color, 2.8),
    ("Contrast", 10, ops.contrast, 1.9),
    ("Brightness", 8, ops.brightness, 1.54),
    ("Sharpness", 4, ops.sharpness, 0.82),
]
STRENGTHS = [
    ("Rotate_BBox", 10, ops.rotation, 30.0),
    ("ShearX_BBox", 8, ops.shear_x, 0.24),
    ("ShearY_BBox", 15, ops.shear_y, 0.45),
    ("TranslateX_BBox", 4, ops.shift_x, 100.0),
    ("TranslateY_BBox", 2, ops.shift_y, 50.0),
]


def scene(height: int = 60, width: int = 80) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def outside(boxes: np.ndarray, margin: int = 0) -> np.ndarray:
    """`[h, w]` bool: the pixels of the scene that no box holds."""
    mask = np.ones((60, 80), bool)
    for ymin, xmin, ymax, xmax in boxes.astype(int):
        mask[ymin : ymax + margin, xmin : xmax + margin] = False
    return mask


def test_policies_equal_the_reference(shared: Path):
    """golden/manifest.json, `autoaugment_policies`."""
    golden = json.loads((shared / "golden" / "manifest.json").read_text())["autoaugment_policies"]
    ours = {name: policy for name, policy in POLICIES.items() if name != "randaug"}
    assert json.loads(json.dumps(ours)) == golden


def test_randaugment_draws_one_of_ten_operations_at_magnitude_15():
    assert len(POLICIES["randaug"]) == 10
    assert {(probability, level) for ((_, probability, level),) in POLICIES["randaug"]} == {(1.0, 15)}


def test_every_operation_is_known():
    for policy in POLICIES.values():
        for sub_policy in policy:
            assert {name for name, _, _ in sub_policy} <= OPERATIONS.keys() | INSIDE_BOXES.keys()


@pytest.mark.parametrize(("name", "level", "change", "argument"), ARGUMENTS)
def test_levels_become_arguments(name, level, change, argument):
    image, boxes = OPERATIONS[name](scene(), BOXES, level, SEED)
    np.testing.assert_allclose(image, change(scene(), argument), atol=1)
    np.testing.assert_array_equal(boxes, BOXES)


@pytest.mark.parametrize(("name", "level", "motion", "strength"), STRENGTHS)
def test_levels_become_motions_either_way(name, level, motion, strength):
    image = scene(200, 220)
    expected = {
        sign: (
            ops.move_image(image, motion(sign * strength)),
            ops.move_boxes(BOXES, [200, 220], motion(sign * strength)),
        )
        for sign in (-1, 1)
    }
    signs = []
    for i in range(12):
        moved, boxes = OPERATIONS[name](image, BOXES, level, tf.constant([i, 0]))
        (sign,) = [s for s, (pixels, _) in expected.items() if np.mean(pixels != moved) < 1e-3]
        np.testing.assert_allclose(boxes, expected[sign][1], atol=1)
        signs.append(sign)
    assert set(signs) == {-1, 1}


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=8, deadline=None)
@given(seed=seeds)
def test_boxes_stay_inside_and_in_order(policy: str, seed: tf.Tensor):
    image, boxes = (t.numpy() for t in autoaugment(scene(), BOXES, policy, seed))
    assert image.shape == (60, 80, 3)
    assert image.dtype == np.uint8
    assert boxes.shape == BOXES.shape
    assert np.all(boxes >= 0)
    assert np.all(boxes <= [60, 80, 60, 80])
    assert np.all(boxes[:, 2:] >= boxes[:, :2])
    assert not ops.has_area(boxes)[2], "a degenerate box is not brought back"


@pytest.mark.parametrize("policy", POLICIES)
def test_maps_over_images_of_unknown_size_and_depends_on_the_seed_alone(policy: str):
    def images() -> tf.data.Dataset:
        signature = (tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((None, 4)))
        data = [(scene(60, 240), BOXES), (scene(33, 41), NO_BOXES), (scene(1, 1), NO_BOXES), (scene(2, 90), NO_BOXES)]
        return tf.data.Dataset.from_generator(lambda: iter(data), output_signature=signature).repeat(6).enumerate()

    def change(i: tf.Tensor, scene: tuple) -> tuple:
        return autoaugment(*scene, policy, tf.stack([7, tf.cast(i, tf.int32)]))

    runs = [[image for image, _ in images().map(change).as_numpy_iterator()] for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [image.shape[:2] for image in runs[0][:4]] == [(60, 240), (33, 41), (1, 1), (2, 90)]
    assert len({image.tobytes() for image in runs[0][::4]}) > 1, "different seeds, different images"
    for i in (0, 1, 4):
        data = (scene(60, 240), BOXES) if i % 4 == 0 else (scene(33, 41), NO_BOXES)
        np.testing.assert_array_equal(autoaugment(*data, policy, tf.constant([7, i]))[0], runs[0][i])


@pytest.mark.parametrize("name", INSIDE_BOXES)
def test_inside_boxes_leaves_the_rest_alone(name: str):
    def change(patch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return INSIDE_BOXES[name](patch, level=6, seed=seed)

    image = change_inside_boxes(scene(), BOXES, change, 1.0, SEED).numpy()
    rest = outside(BOXES.numpy(), margin=1)
    np.testing.assert_array_equal(image[rest], scene().numpy()[rest])
    assert (image != scene().numpy()).any()


def test_boxes_beyond_the_border_reach_to_the_border():
    def black(patch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.zeros_like(patch)

    white = tf.fill((60, 80, 3), tf.constant(255, tf.uint8))
    beyond = tf.constant([[-5, -7, 9, 9], [50, 70, 75, 99]], tf.float32)
    image = change_inside_boxes(white, beyond, black, 1.0, SEED).numpy()
    assert (image == 0).all(-1).sum() == 10 * 10 + 10 * 10


def test_inside_boxes_happens_box_by_box():
    def black(patch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.zeros_like(patch)

    image = tf.fill((60, 80, 3), tf.constant(255, tf.uint8))
    results = [change_inside_boxes(image, BOXES, black, 0.5, tf.constant([i, 0])).numpy() for i in range(60)]
    chosen = [(result[10, 10, 0] == 0, result[40, 50, 0] == 0) for result in results]
    assert {(False, False), (False, True), (True, False), (True, True)} == set(chosen)
    np.testing.assert_array_equal(change_inside_boxes(image, BOXES, black, 0.0, SEED), image)
    np.testing.assert_array_equal(change_inside_boxes(image, NO_BOXES, black, 1.0, SEED), image)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_cutting_out_of_a_box_greys_up_to_three_quarters_of_its_sides(seed: tf.Tensor):
    black = tf.zeros((60, 80, 3), tf.uint8)
    image, boxes = OPERATIONS["BBox_Cutout"](black, BOXES[:1], 10, seed)
    rows, columns = np.nonzero(image.numpy()[..., 0])
    assert set(np.unique(image)) == {0, ops.GREY}
    assert 1 <= np.ptp(rows) + 1 <= 0.75 * 21
    assert 1 <= np.ptp(columns) + 1 <= 0.75 * 27
    np.testing.assert_array_equal(boxes, BOXES[:1])


@pytest.mark.parametrize("boxes", [NO_BOXES, BOXES[2:]])
def test_without_boxes_nothing_is_cut_out_of_them(boxes: tf.Tensor):
    np.testing.assert_array_equal(OPERATIONS["BBox_Cutout"](scene(), boxes, 10, SEED)[0], scene())


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_cutout_greys_a_square_about_a_pixel_of_the_image(seed: tf.Tensor):
    image, _ = OPERATIONS["Cutout"](tf.zeros((60, 80, 3), tf.uint8), BOXES, 2, seed)
    rows, columns = np.nonzero(image.numpy()[..., 0])
    assert 20 <= np.ptp(rows) + 1 <= 40
    assert 20 <= np.ptp(columns) + 1 <= 40
