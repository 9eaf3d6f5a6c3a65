"""Laws of augmentation: boxes stay in step with pixels, nothing is lost without reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.architectures import IMAGENET_MEAN, IMAGENET_STDDEV
from efficientdet.config import DataConfig
from efficientdet.data.augment import augment, random_flip, random_light, random_scale_crop, scale_crop
from efficientdet.data.autoaugment import INSIDE_BOXES, OPERATIONS, autoaugment
from efficientdet.data.scene import Scene
from efficientdet.letterbox import letterbox

SIZE = (64, 48)
PAD = (0.0, 0.0, 0.0)
NOTHING = tf.zeros((0, 4)), tf.zeros((0,), tf.int32)
IDENTITY = DataConfig(flip=False, jitter_min=1, jitter_max=1)

# golden/preprocess_train.npz: the draws (factor, offset y, offset x) and the size they refer to.
DRAWS = {
    "s0.5": ((0.5, 0.3, 0.7), 64),
    "s1.0": ((1.0, 0.3, 0.7), 64),
    "s1.7": ((1.7, 0.3, 0.7), 64),
    "s2.0": ((2.0, 0.999, 0.001), 64),
    "s0.1": ((0.1, 0.5, 0.5), 64),
    "target": ((1.3, 0.25, 0.5), 96),
}


def scene(height: int = 40, width: int = 60) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """A dark image with one white rectangle per box."""
    boxes = np.array([[4, 6, 14, 22], [20, 30, 36, 54]], np.float32)
    image = np.zeros((height, width, 3), np.uint8)
    for ymin, xmin, ymax, xmax in boxes.astype(int):
        image[ymin:ymax, xmin:xmax] = 255
    return tf.constant(image), tf.constant(boxes), tf.constant([1, 2])


seeds = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)).map(tf.constant)


@settings(max_examples=40, deadline=None)
@given(st.data(), seeds)
def test_pixels_follow_boxes(painted: Callable, in_step: Callable[..., None], data: st.DataObject, seed: tf.Tensor):
    config = DataConfig(jitter_min=0.5, jitter_max=2)
    after = augment(*data.draw(painted()), SIZE, PAD, config, seed)
    assert after.image.shape == (*SIZE, 3)
    in_step(after)


# What recolours an image, and would take away what the test below follows.
RECOLOURING = {name for name in OPERATIONS if not name.endswith("_BBox") and "Cutout" not in name}


@pytest.fixture(scope="module")
def colours_stay() -> Iterator[None]:
    """Recolouring does nothing; all that moves or hides works."""
    with pytest.MonkeyPatch.context() as patch:
        for name in RECOLOURING:
            patch.setitem(OPERATIONS, name, lambda image, boxes, level, seed: (image, boxes))
        patch.setitem(INSIDE_BOXES, "Equalize_Only_BBoxes", lambda image, level, seed: image)
        yield


@pytest.mark.usefixtures("colours_stay")
@pytest.mark.parametrize("policy", ["v0", "v1", "v2", "v3", "randaug"])
def test_pixels_follow_boxes_under_every_policy(painted: Callable, in_step: Callable[..., None], policy: str):
    config = DataConfig(jitter_min=0.7, jitter_max=1.5, autoaugment=policy, grid_mask=True)

    @settings(max_examples=30, deadline=None)
    @given(painted(), seeds)
    def check(before: Scene, seed: tf.Tensor) -> None:
        # A policy cuts corners to whole pixels, up to three times; cutouts, shears and masks leave holes.
        in_step(augment(*before, SIZE, PAD, config, seed), margin=5, whole=False)

    check()


@settings(max_examples=40, deadline=None)
@given(st.data(), seeds)
def test_strength_zero_is_the_letterbox(painted: Callable, data: st.DataObject, seed: tf.Tensor):
    before = data.draw(painted())
    after = augment(*before, SIZE, PAD, IDENTITY, seed)
    expected, scale = letterbox(before.image, SIZE, PAD)
    np.testing.assert_array_equal(after.image, expected)
    np.testing.assert_allclose(after.boxes, before.boxes * scale, atol=1)  # of which less than a pixel is cut
    np.testing.assert_array_equal(after.classes, before.classes)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_same_seed_gives_the_same_image(seed: tf.Tensor):
    config = DataConfig(brightness=0.3, grid_mask=True, autoaugment="v3")
    first, second = (augment(*scene(), SIZE, PAD, config, seed) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_different_seeds_give_different_images():
    images = {augment(*scene(), SIZE, PAD, DataConfig(), tf.constant([0, i]))[0].numpy().tobytes() for i in range(20)}
    assert len(images) > 15


@pytest.mark.parametrize("case", DRAWS)
def test_scale_and_crop_equal_the_reference(shared: Path, case: str):
    """golden/preprocess_train.npz: google/automl's training image for given draws, normalised before resizing.

    It cuts boxes at `size - 1`; ours end where the image does.
    """
    golden = np.load(shared / "golden" / "preprocess_train.npz")
    image = golden[f"{case}/image"]
    boxes = golden[f"{case}/boxes_norm"] * np.tile(np.float32(image.shape[:2]), 2)
    (factor, *offsets), jitter_size = DRAWS[case]
    out, moved = scale_crop(image, boxes, (64, 64), IMAGENET_MEAN, factor, tf.constant(offsets), (jitter_size,) * 2)
    np.testing.assert_allclose((out - IMAGENET_MEAN) / IMAGENET_STDDEV, golden[f"{case}/out"], atol=2e-5)
    moved = np.minimum(moved, 63)
    kept = np.prod(moved[:, 2:] - moved[:, :2], axis=1) != 0
    np.testing.assert_allclose(moved[kept], golden[f"{case}/out_boxes"], atol=1e-4)
    np.testing.assert_array_equal(np.arange(1, 5)[kept], golden[f"{case}/out_classes"][:, 0])


def test_the_random_scale_refers_to_the_jitter_size():
    image, boxes, classes = scene()
    config = IDENTITY.model_copy(update={"jitter_size": (32, 24)})
    boxed, scaled, _ = augment(image, boxes, classes, SIZE, PAD, config, tf.constant([0, 0]))
    np.testing.assert_allclose(scaled, boxes.numpy() * 0.4, rtol=1e-6)
    assert boxed.shape == (*SIZE, 3)
    assert np.all(boxed[16:] == 0)
    assert np.all(boxed[:, 24:] == 0)


def test_a_policy_is_applied_before_scaling_and_its_lost_boxes_go():
    image, boxes, classes = scene(80, 240)
    config = IDENTITY.model_copy(update={"autoaugment": "test"})  # moves sideways by 100 pixels, always
    left = right = 0
    for i in range(8):
        out, kept, labels = augment(image, boxes, classes, (80, 240), PAD, config, tf.constant([0, i]))
        left, right = left + (len(kept) == 0), right + (len(kept) == 2)
        assert labels.numpy().tolist() == classes.numpy().tolist()[: len(kept)]
        if len(kept):
            np.testing.assert_array_equal(kept, boxes + [[0, 100, 0, 100]])
            assert out.numpy()[6, 110, 0] > out.numpy()[6, 150, 0]
    assert left
    assert right


def test_the_grid_mask_comes_before_the_policy():
    image = tf.fill((64, 48, 3), tf.constant(250, tf.uint8))
    config = IDENTITY.model_copy(update={"grid_mask": True})
    masked = [augment(image, *NOTHING, SIZE, PAD, config, tf.constant([i, 0]))[0].numpy() for i in range(12)]
    assert {0, 250} == set(np.unique(masked))
    config = config.model_copy(update={"autoaugment": "randaug"})
    for i, before in enumerate(masked):
        *_, policy_seed = tf.unstack(tf.random.split(tf.constant([i, 0]), 5))
        expected, _ = autoaugment(tf.cast(before, tf.uint8), NOTHING[0], "randaug", policy_seed)
        after = augment(image, *NOTHING, SIZE, PAD, config, tf.constant([i, 0]))[0]
        np.testing.assert_array_equal(after, tf.cast(expected, tf.float32))


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
    changed = random_light(tf.cast(image, tf.float32), 0.9, tf.constant([1, 2])).numpy()
    assert changed.min() >= 0
    assert changed.max() <= 255


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 1)])
def test_extreme_shapes(shape: tuple[int, int]):
    image = tf.zeros((*shape, 3), tf.uint8)
    config = DataConfig(grid_mask=True, autoaugment="randaug")
    for i in range(5):
        out, boxes, classes = augment(image, *NOTHING, SIZE, PAD, config, tf.constant([i, i]))
        assert out.shape == (*SIZE, 3)
        assert boxes.shape == (0, 4)
        assert classes.shape == (0,)
