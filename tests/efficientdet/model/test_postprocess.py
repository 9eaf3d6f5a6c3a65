"""Suppression against google/automl (golden/postprocess.npz) and against greedy suppression written out in numpy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import Anchors, centre_size, decode, join_levels
from efficientdet.boxes import iou
from efficientdet.config import NmsConfig
from efficientdet.config.hparams import NMS_NAMES
from efficientdet.model.detector import RawOutputs
from efficientdet.model.postprocess import GAUSSIAN_FLOOR, postprocess, top_candidates

LEVELS = range(3, 8)
ANCHORS = Anchors((128, 128), 3, 7, 3, (1.0, 2.0, 0.5), 4.0)  # of golden/postprocess.npz
SMALL = Anchors((64, 64), 3, 4, 1, (1.0,), 2.0)
DEFAULTS = NmsConfig().to_dict()


def golden_outputs(golden: np.lib.npyio.NpzFile) -> RawOutputs:
    return RawOutputs(
        [tf.constant(golden[f"in/cls_{i}"]) for i in LEVELS], [tf.constant(golden[f"in/box_{i}"]) for i in LEVELS]
    )


def random_outputs(seed: int, num_classes: int, batch: int = 2) -> RawOutputs:
    rng = np.random.default_rng(seed)
    logits = [rng.normal(0, 2, (batch, h, w, num_classes)).astype(np.float32) for h, w in SMALL.feature_sizes]
    deltas = [rng.normal(0, 0.5, (batch, h, w, 4)).astype(np.float32) for h, w in SMALL.feature_sizes]
    return RawOutputs([tf.constant(x) for x in logits], [tf.constant(x) for x in deltas])


def detect(raw: RawOutputs, num_classes: int, **changes: object) -> list[np.ndarray]:
    options = DEFAULTS | {"image_size": (64, 64)} | changes
    return [np.asarray(part) for part in postprocess(raw, SMALL.boxes, num_classes, **options)]


def detect_golden(golden: np.lib.npyio.NpzFile, **changes: object) -> list[np.ndarray]:
    """Detections of the golden outputs, with the settings that google/automl calls its defaults."""
    options = {
        "method": "gaussian",
        "per_class": False,
        "iou_threshold": 0.5,
        "sigma": 0.5,
        "score_threshold": 0.0,
        "max_candidates": 0,
        "max_detections": 100,
    }
    found = postprocess(golden_outputs(golden), ANCHORS.boxes, 6, image_size=(128, 128), **(options | changes))
    return [np.asarray(part) for part in found]


def assert_same_detections(found: list[np.ndarray], golden: np.lib.npyio.NpzFile, prefix: str) -> None:
    """Scores to 1e-5, boxes to 1e-4 pixels and classes; the reference scales boxes to the image, and clips only some.

    Detections of the very same score, at most a twentieth, are left out: their order is open.
    """
    boxes, scores, classes, count = found
    expected = np.clip(golden[f"{prefix}/boxes"] / golden["in/scales"][:, None, None], 0, 128)
    np.testing.assert_array_equal(count, golden[f"{prefix}/valid"])
    np.testing.assert_allclose(scores, golden[f"{prefix}/scores"], atol=1e-5)
    settled = untied(scores)
    np.testing.assert_allclose(boxes[settled], expected[settled], atol=1e-4)
    np.testing.assert_array_equal(classes[settled], golden[f"{prefix}/classes"][settled])


def untied(scores: np.ndarray) -> np.ndarray:
    """Which of the falling scores `[b, n]` differ from both neighbours."""
    tied = np.isclose(scores[:, 1:], scores[:, :-1], rtol=0, atol=1e-7)
    settled = ~(np.pad(tied, ((0, 0), (1, 0))) | np.pad(tied, ((0, 0), (0, 1))))
    assert settled.mean() > 0.95
    return settled


CASES = ["gauss", "hard", "hard_thr", "gauss_thr", "hard_top300", "gauss_top300", "hard_out10", "gauss_none_thr"]


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_reference(shared: Path, case: str, per_class: bool):
    """Global and per class, hard and gaussian, of all anchors' best classes or the 300 best pairs."""
    golden = np.load(shared / "golden/postprocess.npz")
    theirs = json.loads((shared / "golden/manifest.json").read_text())["postprocess.npz"]["cases"][case]
    changes = {NMS_NAMES[name].removeprefix("nms."): value or 0.0 for name, value in theirs.items()}
    found = detect_golden(golden, per_class=per_class, **changes)
    assert_same_detections(found, golden, f"{'per_class' if per_class else 'global'}/{case}")


@pytest.mark.parametrize(
    ("case", "changes"), [("default", {}), ("thr", {"score_threshold": 0.4}), ("out10", {"max_detections": 10})]
)
def test_equals_combined_suppression_of_the_reference(shared: Path, case: str, changes: dict[str, float]):
    """Its combined suppression is ours: hard, per class, of all (anchor, class) pairs.

    In the case `thr` every one of the hundred detections scores above the threshold.
    """
    golden = np.load(shared / "golden/postprocess.npz")
    pairs = len(ANCHORS.boxes) * 6
    found = detect_golden(golden, method="hard", per_class=True, max_candidates=pairs, **changes)
    assert_same_detections(found, golden, f"combined/{case}")


@pytest.mark.parametrize("per_class", [True, False])
def test_rows_for_the_metric_equal_the_reference(shared: Path, per_class: bool):
    """golden/postprocess.npz gendet: id, xmin, ymin, xmax, ymax in the image, score, class; to 1e-3 pixels."""
    golden = np.load(shared / "golden/postprocess.npz")
    boxes, scores, classes, _ = detect_golden(golden, per_class=per_class)
    rows = golden[f"gendet/flip0_perclass{int(per_class)}"]
    scale = golden["in/scales"][:, None]
    expected = np.clip(rows[..., [2, 1, 4, 3]], 0, 128 * scale[..., None])
    np.testing.assert_allclose(boxes * scale[..., None], expected, atol=1e-3)
    np.testing.assert_allclose(scores, rows[..., 5], atol=1e-5)
    np.testing.assert_array_equal(classes, rows[..., 6])


def test_candidates_equal_the_reference(shared: Path):
    """golden/postprocess.npz: all pairs, each anchor's best class, the 300 best pairs; to 1e-6, boxes to 1e-4."""
    golden = np.load(shared / "golden/postprocess.npz")
    raw = golden_outputs(golden)
    boxes, scores, classes = (np.asarray(part) for part in top_candidates(raw, ANCHORS.boxes, 6, 0))
    np.testing.assert_allclose(boxes[:, ::5], golden["prenms_max/boxes"], atol=1e-4)
    np.testing.assert_allclose(scores, golden["prenms_max/scores"], atol=1e-6)
    np.testing.assert_array_equal(classes - 1, golden["prenms_max/classes"])

    boxes, scores, classes = (np.asarray(part) for part in top_candidates(raw, ANCHORS.boxes, 6, 300))
    np.testing.assert_allclose(scores, golden["prenms_top300_sorted/scores"], atol=1e-6)
    settled = untied(scores)
    np.testing.assert_allclose(boxes[settled], golden["prenms_top300_sorted/boxes"][settled], atol=1e-4)
    np.testing.assert_array_equal(classes[settled] - 1, golden["prenms_top300_sorted/classes"][settled])

    every_box = decode(join_levels(raw.box_deltas, 4), ANCHORS.boxes)
    np.testing.assert_allclose(every_box[:, ::3], golden["decode"], atol=1e-4)
    every = tf.sigmoid(join_levels(raw.class_logits, 6))[:, ::37]
    np.testing.assert_allclose(every, golden["prenms_all/scores_stride37"], atol=1e-6)


def test_inputs_of_the_tflite_operator_equal_the_reference(shared: Path):
    """golden/postprocess.npz tflite_pre, first image, every fifth row: box codes, scores and normalised anchors."""
    golden = np.load(shared / "golden/postprocess.npz")
    raw = golden_outputs(golden)
    codes = join_levels(raw.box_deltas, 4)[:1, ::5]
    scores = tf.sigmoid(join_levels(raw.class_logits, 6))[:1, ::5]
    np.testing.assert_array_equal(codes, golden["tflite_pre/box_encodings_stride5"])
    np.testing.assert_allclose(scores, golden["tflite_pre/scores_stride5"], atol=1e-6)
    np.testing.assert_allclose(
        centre_size(ANCHORS.boxes / 128)[::5], golden["tflite_pre/anchors_stride5"], rtol=1e-5, atol=1e-6
    )


def test_no_score_threshold_keeps_everything_or_what_gaussian_leaves():
    hard = detect(random_outputs(0, 2), 2, score_threshold=0.0, iou_threshold=1.0, max_detections=200)
    assert np.all(hard[3] == 2 * len(SMALL.boxes))
    soft = detect(random_outputs(0, 2), 2, method="gaussian", score_threshold=0.0, sigma=0.01, max_detections=200)
    assert np.all(soft[3] < 2 * len(SMALL.boxes))
    assert all(scores[count - 1] > GAUSSIAN_FLOOR for scores, count in zip(soft[1], soft[3], strict=True))


def greedy(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, threshold: float, per_class: bool) -> list[int]:
    """Indices kept by plain suppression of candidates already sorted by score."""
    kept: list[int] = []
    overlap = iou(boxes, boxes)
    for i in range(len(scores)):
        rivals = [j for j in kept if not per_class or classes[j] == classes[i]]
        if all(overlap[i, j] <= threshold for j in rivals):
            kept.append(i)
    return kept


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_hard_suppression_is_greedy(seed: int, per_class: bool):
    raw = random_outputs(seed, num_classes=7)
    candidates = [np.asarray(part) for part in top_candidates(raw, SMALL.boxes, 7, 150)]
    found = detect(raw, 7, per_class=per_class, max_candidates=150, max_detections=60, score_threshold=0.3)
    for image in range(2):
        boxes, scores, classes = (part[image] for part in candidates)
        kept = [i for i in greedy(boxes, scores, classes, 0.5, per_class) if scores[i] > 0.3][:60]
        count = found[3][image]
        assert count == len(kept) > 5
        np.testing.assert_allclose(found[1][image, :count], scores[kept], rtol=1e-6)
        np.testing.assert_array_equal(found[2][image, :count], classes[kept])
        np.testing.assert_allclose(found[0][image, :count], np.clip(boxes[kept], 0, 64), atol=1e-4)


@pytest.mark.parametrize("method", ["hard", "gaussian"])
def test_output_contract(method: str):
    boxes, scores, classes, count = detect(random_outputs(0, 3), 3, method=method, score_threshold=0.8)
    assert (boxes.shape, scores.shape, classes.shape, count.shape) == ((2, 100, 4), (2, 100), (2, 100), (2,))
    assert (boxes.dtype, scores.dtype, classes.dtype, count.dtype) == (np.float32, np.float32, np.int32, np.int32)
    for b, s, c, n in zip(boxes, scores, classes, count, strict=True):
        assert 0 < n < 100
        assert np.all(np.diff(s[:n]) <= 0)
        assert s[n - 1] >= 0.8
        assert set(c[:n]) <= {1, 2, 3}
        assert b.min() >= 0
        assert b.max() <= 64
        assert not b[n:].any()
        assert not s[n:].any()
        assert not c[n:].any()


def test_gaussian_suppression_lowers_scores_and_drops_nothing_for_overlap():
    hard, soft = (detect(random_outputs(1, 2), 2, method=m, score_threshold=0.0) for m in ("hard", "gaussian"))
    assert np.all(soft[3] >= hard[3])
    np.testing.assert_allclose(soft[1][:, 0], hard[1][:, 0])
    assert soft[1].sum() < detect(random_outputs(1, 2), 2, iou_threshold=1.0, score_threshold=0.0)[1].sum()


def test_batch_size_is_free_and_images_are_independent():
    raw = random_outputs(3, 4, batch=3)

    @tf.function
    def serve(raw: RawOutputs) -> tuple[tf.Tensor, ...]:
        return postprocess(raw, SMALL.boxes, 4, image_size=(64, 64), **DEFAULTS)

    spec = tf.nest.map_structure(lambda x: tf.TensorSpec([None, *x.shape[1:]]), raw)
    graph = serve.get_concrete_function(spec)
    assert [shape.as_list() for shape in graph.output_shapes] == [[None, 100, 4], [None, 100], [None, 100], [None]]
    together = serve(raw)
    for i in range(3):
        alone = serve(tf.nest.map_structure(lambda x, i=i: x[i : i + 1], raw))
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one[0], all_[i])
    empty = serve(tf.nest.map_structure(lambda x: x[:0], raw))
    assert empty[0].shape == (0, 100, 4)


def test_fewer_pairs_than_asked_for():
    candidates = top_candidates(random_outputs(0, 2), SMALL.boxes, 2, 10_000)
    assert candidates.scores.shape == (2, len(SMALL.boxes) * 2)


def test_candidates_are_the_best_pairs():
    raw = random_outputs(0, 5)
    logits = np.concatenate([np.reshape(level, (2, -1)) for level in raw.class_logits], axis=1)
    expected = -np.sort(-1 / (1 + np.exp(-logits)), axis=1)[:, :40]
    np.testing.assert_allclose(top_candidates(raw, SMALL.boxes, 5, 40).scores, expected, rtol=1e-6)


def test_infinite_boxes_do_no_harm():
    """Deltas of an untrained network overflow exp."""
    raw = random_outputs(0, 2)
    raw = RawOutputs(raw.class_logits, [level * 1000 for level in raw.box_deltas])
    for per_class in (True, False):
        boxes, scores, *_ = detect(raw, 2, per_class=per_class)
        assert np.all(np.isfinite(boxes))
        assert np.all(np.isfinite(scores))


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.999])
def test_candidates_below_the_threshold_are_left_out(threshold: float):
    raw = random_outputs(0, 5)
    every = top_candidates(raw, SMALL.boxes, 5, 40)
    some = top_candidates(raw, SMALL.boxes, 5, 40, threshold)
    assert some.scores.shape == (2, 40)
    for image in range(2):
        enough = np.asarray(every.scores[image]) > threshold
        for one, other in zip(every, some, strict=True):
            np.testing.assert_array_equal(np.asarray(one[image])[enough], np.asarray(other[image])[enough])
        assert np.all(np.asarray(some.scores[image])[~enough] <= threshold)
