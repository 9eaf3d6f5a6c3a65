"""Anchors and targets, against google/automl's numbers (golden/anchors.npz, labels.npz) and by law."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.anchors import (
    IGNORED,
    PADDING,
    Anchors,
    Targets,
    anchors_for,
    centre_size,
    decode,
    encode,
    join_levels,
)
from efficientdet.boxes import iou
from efficientdet.config import Config

GRIDS = ["d0_512", "d0_128", "d7_256", "d7x_256", "lite0_320", "rect_136x200", "str_200x136", "pairs_128"]
GRIDS += ["per_level_scale_128", "odd_127x129", "lv2_6_64"]
SAME_TARGETS = ["simple", "tiny_forced", "two_gt_same_best_anchor", "empty", "whole_image", "random20", "random_rect"]
SAME_TARGETS += ["lite_scale3", "d7x_levels8"]
# Here google/automl force-matches a box that overlaps nothing to anchor 0; we leave that anchor alone.
ANCHOR_0_FORCED = ["zero_iou_gt", "degenerate_zero_area", "pad_minus1"]

SMALL = Anchors((64, 96), 3, 7, 3, (1.0, 2.0, 0.5), 4.0)


def golden(shared: Path, name: str) -> tuple[dict, np.lib.npyio.NpzFile]:
    manifest = json.loads((shared / "golden/manifest.json").read_text())
    return manifest[name], np.load(shared / "golden" / name)


def size_of(value: int | str | list[int]) -> tuple[int, int]:
    """(height, width); a text is WIDTHxHEIGHT."""
    if isinstance(value, str):
        value = [int(side) for side in value.split("x")][::-1]
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def assign(anchors: Anchors, boxes: object, classes: object, compat: bool = False) -> Targets:
    return anchors.assign(tf.reshape(tf.constant(boxes, tf.float32), [-1, 4]), tf.constant(classes, tf.int32), compat)


def flat(targets: Targets) -> tuple[np.ndarray, np.ndarray]:
    """Classes `[A]` and deltas `[A, 4]` of all levels."""
    classes = np.concatenate([np.ravel(level) for level in targets.classes])
    return classes, np.concatenate([np.reshape(level, (-1, 4)) for level in targets.boxes])


@pytest.mark.parametrize("name", GRIDS)
def test_grid_equals_the_reference(shared: Path, name: str):
    facts, arrays = golden(shared, "anchors.npz")
    case = facts["configs"][name]
    anchors = Anchors(
        size_of(case["image_size"]),
        case["min_level"],
        case["max_level"],
        case["num_scales"],
        case["aspect_ratios"],
        case["anchor_scale"],
    )
    assert len(anchors.boxes) == case["num"]
    np.testing.assert_allclose(anchors.boxes[:: case["stored_stride"]], arrays[name], atol=1e-4)
    np.testing.assert_allclose(anchors.boxes.sum(axis=0, dtype=np.float64), arrays[f"{name}_sum"], rtol=1e-5)


@pytest.mark.parametrize("name", GRIDS)
def test_config_says_the_same(shared: Path, name: str):
    facts, _ = golden(shared, "anchors.npz")
    case = {k: v for k, v in facts["configs"][name].items() if k not in ("num", "stored_stride")}
    anchors = anchors_for(Config.parse({"model": {"name": "efficientdet-d0", **case}}))
    size = size_of(case.pop("image_size"))
    np.testing.assert_array_equal(anchors.boxes, Anchors(size, **case).boxes)


def test_one_scale_per_level_or_one_for_all():
    one, many = (Anchors((64, 64), 3, 5, 1, (1.0,), scale) for scale in (2.0, (2.0, 4.0, 2.0)))
    sides = one.boxes[:, 2] - one.boxes[:, 0]
    factor = np.repeat([1, 2, 1], [64, 16, 4])
    np.testing.assert_allclose(many.boxes[:, 2] - many.boxes[:, 0], sides * factor, rtol=1e-6)
    with pytest.raises(ValueError, match="zip"):
        Anchors((64, 64), 3, 5, 1, (1.0,), (2.0, 4.0))


def test_pairs_multiply_width_and_height():
    boxes = Anchors((64, 64), 3, 3, 1, ((1.5, 0.5),), 4.0).boxes
    np.testing.assert_allclose(centre_size(boxes)[0], [4, 4, 16, 48])


def test_lite0_anchors_are_those_published_with_mediapipe(shared: Path):
    rows = np.loadtxt(shared / "data/golden/mediapipe/efficientdet_lite0_fp16_no_nms_anchors.csv", delimiter=",")
    boxes = anchors_for(Config()).boxes / 320
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(np.concatenate([centres, sizes], axis=1), rows, atol=1e-5)


def test_config_chooses_the_anchors():
    anchors = anchors_for(Config.parse({"model": {"image_size": "96x64", "anchor_scale": 2.0, "num_scales": 1}}))
    assert anchors.image_size == (64, 96)
    assert anchors.feature_sizes == [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]
    # First cell of stride 8: centre (4, 4), side 2 * 8.
    np.testing.assert_allclose(anchors.boxes[0], [-4, -4, 12, 12])


@settings(deadline=None)
@given(st.lists(st.floats(0, 90, width=32), min_size=4, max_size=4), st.integers(0, len(SMALL.boxes) - 1))
def test_decode_inverts_encode(corners: list[float], anchor: int):
    low = np.minimum(corners[:2], corners[2:])
    box = np.concatenate([low, low + 1 + np.abs(np.subtract(corners[2:], corners[:2]))]).astype(np.float32)
    deltas = encode(tf.constant(box), tf.constant(SMALL.boxes[anchor]))
    np.testing.assert_allclose(decode(deltas, SMALL.boxes[anchor]), box, rtol=1e-4, atol=1e-3)


def golden_targets(shared: Path, name: str, compat: bool) -> tuple[Targets, np.ndarray, np.ndarray, float]:
    """Our targets, and the reference's classes `[A]`, deltas `[A, 4]` and number of positives."""
    facts, arrays = golden(shared, "labels.npz")
    case = facts["cases"][name]
    min_level, *rest, image_size = case["params"]
    anchors = Anchors(size_of(image_size), min_level, *rest)
    targets = assign(anchors, arrays[f"{name}/gt_boxes"], arrays[f"{name}/gt_classes"][:, 0], compat)
    levels = range(min_level, rest[0] + 1)
    classes = np.concatenate([arrays[f"{name}/cls_{level}"].ravel() for level in levels])
    deltas = np.concatenate([arrays[f"{name}/box_{level}"].reshape(-1, 4) for level in levels])
    return targets, classes, deltas, float(arrays[f"{name}/num_positives"])


@pytest.mark.parametrize("name", [*SAME_TARGETS, *ANCHOR_0_FORCED])
def test_compat_targets_equal_the_reference(shared: Path, name: str):
    targets, expected, expected_deltas, positives = golden_targets(shared, name, compat=True)
    classes, deltas = flat(targets)
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_allclose(deltas, expected_deltas, rtol=1e-6, atol=1e-5)
    assert targets.num_positives == positives


@pytest.mark.parametrize("name", [*SAME_TARGETS, *ANCHOR_0_FORCED])
def test_targets_equal_the_reference_but_for_anchor_0(shared: Path, name: str):
    targets, expected, expected_deltas, positives = golden_targets(shared, name, compat=False)
    classes, deltas = flat(targets)
    if name in ANCHOR_0_FORCED:
        assert classes[0] == -1 != expected[0]
        expected[0], expected_deltas[0], positives = -1, 0, positives - 1
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_allclose(deltas, expected_deltas, atol=1e-5)
    assert targets.num_positives == positives


def test_compat_counts_labels_below_one():
    """Class 0 becomes background that counts and has a box, class -1 is ignored."""
    box = SMALL.boxes[400]
    for label, expected in ((0, -1), (-1, IGNORED)):
        targets = assign(SMALL, [box], [label], compat=True)
        classes, deltas = flat(targets)
        assert classes[400] == expected
        assert targets.num_positives > 0
        assert targets.num_positives > np.sum(deltas.any(axis=1)) - 1
        assert assign(SMALL, [box], [label]).num_positives == 0


def test_levels_join_in_the_order_of_the_anchors():
    targets = assign(SMALL, [[8, 8, 40, 40], [0, 30, 60, 90]], [1, 2])
    joined = np.asarray(join_levels([level[None] for level in targets.boxes], 4))
    np.testing.assert_array_equal(joined[0], flat(targets)[1])
    found = np.asarray(decode(joined, SMALL.boxes))[0][flat(targets)[0] == 0]
    np.testing.assert_allclose(found, np.tile([8.0, 8, 40, 40], (len(found), 1)), atol=1e-3)


def test_a_box_without_area_is_encoded_finitely():
    deltas = encode(tf.constant([[5.0, 5, 5, 9]]), tf.constant([[0.0, 0, 8, 8]]))
    assert np.all(np.isfinite(deltas))


def test_image_without_boxes_is_all_background():
    targets = assign(SMALL, [], [])
    classes, deltas = flat(targets)
    assert np.all(classes == -1)
    assert not deltas.any()
    assert targets.num_positives == 0
    assert [level.shape for level in targets.classes] == [(h, w, 9) for h, w in SMALL.feature_sizes]
    assert [level.shape for level in targets.boxes] == [(h, w, 36) for h, w in SMALL.feature_sizes]


BOXES = st.lists(
    st.tuples(st.floats(0, 55), st.floats(0, 85), st.floats(1, 60), st.floats(1, 80), st.integers(1, 5)),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(BOXES, st.integers(0, 3))
def test_assignment_laws(rows: list[tuple], padding: int):
    table = np.array(rows, np.float32)
    boxes, labels = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1), table[:, 4].astype(int)
    targets = assign(SMALL, boxes, labels)
    classes, deltas = flat(targets)
    overlap = iou(boxes, SMALL.boxes)
    assert targets.num_positives == np.sum(classes >= 0)
    # Whoever overlaps clearly is positive, and nobody is positive for nothing.
    assert np.all(classes[overlap.max(0) > 0.501] >= 0)
    assert np.all(overlap.max(0)[classes >= 0] > 0)
    # Every box that touches an anchor owns one, unless an earlier row took the same anchor.
    assert len(np.unique(overlap.argmax(1))) <= targets.num_positives
    # Positive anchors decode to a groundtruth box of their class.
    found = np.asarray(decode(deltas, SMALL.boxes))[classes >= 0]
    nearest = iou(found, boxes) * (classes[classes >= 0][:, None] == labels - 1)
    assert np.all(nearest.max(1) > 0.99)
    # Padding rows change nothing, whatever they hold.
    padded = assign(SMALL, np.concatenate([np.full((padding, 4), 30.0), boxes]), [*[0] * padding, *labels])
    np.testing.assert_array_equal(flat(padded)[0], classes)
    np.testing.assert_array_equal(flat(padded)[1], deltas)


def test_assign_runs_inside_tf_data():
    one = tf.data.Dataset.from_tensors((tf.constant([[8.0, 8, 40, 40]]), tf.constant([3])))
    targets = next(iter(one.map(SMALL.assign).batch(1)))
    assert targets.num_positives.numpy() > 0
    assert np.max([np.max(level) for level in targets.classes]) == 2


@pytest.mark.parametrize("compat", [False, True])
def test_a_batch_is_its_images(compat: bool):
    """Images of none, one and several boxes, degenerate ones, ones outside, rows to ignore, and padding between."""
    anchors, rng = Anchors((64, 96), 3, 5, 2, (1.0, 2.0), 4.0), np.random.default_rng(0)
    corners = rng.uniform(-10, 60, (6, 5, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=-1)
    boxes[0, 0, 2:] = boxes[0, 0, :2]
    boxes[1, 0] = [200, 200, 220, 220]
    classes = rng.integers(-1, 4, (6, 5)).astype(np.int32)
    classes[2], classes[3, 1:] = PADDING, PADDING
    batch = anchors.assign_batch(tf.constant(boxes), tf.constant(classes), compat)
    assert float(tf.reduce_sum(batch.num_positives)) > 20
    for i in range(6):
        real = classes[i] != PADDING
        one = anchors.assign(tf.constant(boxes[i][real]), tf.constant(classes[i][real]), compat)
        for values, expected in zip(tf.nest.flatten(batch), tf.nest.flatten(one), strict=True):
            np.testing.assert_allclose(values[i], expected, rtol=1e-6)  # logarithms are taken several at a time
