from __future__ import annotations

import contextlib
import copy
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, CocoScores, Groundtruth, match_image, match_images

NOTHING = Groundtruth([], [], [], [])
Numbers = list[float | None]


def by_pycocotools(dataset: dict, results: list[dict]) -> tuple[Numbers, dict[int, Numbers]]:
    """The twelve numbers over all classes, and of each class that has groundtruth."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(dataset)
        truth.createIndex()
        if not results:  # loadRes cannot read an empty list
            results = [{"image_id": dataset["images"][0]["id"], "category_id": 10**6, "bbox": [0, 0, 1, 1], "score": 0}]
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    per_class = {}
    for k, category in enumerate(evaluation.params.catIds):
        # the parts of its arrays that summarize takes
        precision, recall = evaluation.eval["precision"][:, :, k, :, 2], evaluation.eval["recall"][:, k]
        parts = [precision[:, :, 0], precision[0, :, 0], precision[5, :, 0]]
        parts += [precision[:, :, area] for area in (1, 2, 3)]
        parts += [recall[:, 0, most] for most in (0, 1, 2)] + [recall[:, area, 2] for area in (1, 2, 3)]
        if (recall[:, 0] > -1).any():
            per_class[int(category)] = [part[part > -1].mean() if (part > -1).any() else None for part in parts]
    return [None if value == -1 else value for value in evaluation.stats], per_class


def assert_equal(scores: CocoScores, dataset: dict, results: list[dict]) -> None:
    """To the last bit, over all classes and in each."""
    metrics, per_class = by_pycocotools(dataset, results)
    assert list(scores.metrics.values()) == metrics
    assert {c: list(numbers.values()) for c, numbers in scores.per_class.items()} == per_class
    assert all(tuple(names) == COCO_METRICS for names in (scores.metrics, *scores.per_class.values()))
    assert scores.images == len(dataset["images"])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 8),
    classes=st.integers(1, 3),
    most=st.sampled_from([1, 15, 400]),  # 400 in few classes: more than COCO's 100 per class
    coarse=st.sampled_from([1, 8]),
)
def test_equals_pycocotools(
    random_coco: Any, scenes: Any, seed: int, images: int, classes: int, most: int, coarse: int
) -> None:
    dataset, results = random_coco(seed, images, classes, most, coarse)
    assert_equal(CocoAccumulator(match_images(scenes(dataset, results))).compute(), dataset, results)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), parts=st.lists(st.integers(0, 4), min_size=10, max_size=10), data=st.data())
def test_the_numbers_are_the_same_whatever_the_sharding(
    random_coco: Any, scenes: Any, seed: int, parts: list[int], data: st.DataObject
) -> None:
    matches = match_images(scenes(*random_coco(seed, images=10, classes=2, most=15, coarse=8)))
    whole = CocoAccumulator(matches).compute()
    shards = [CocoAccumulator(m for m, part in zip(matches, parts, strict=True) if part == of) for of in range(5)]
    while len(shards) > 1:
        shard = shards.pop(data.draw(st.integers(0, len(shards) - 1)))
        if data.draw(st.booleans()):
            shard.compact()
        shards[data.draw(st.integers(0, len(shards) - 1))].merge(pickle.loads(pickle.dumps(shard)))
    assert shards[0].compute() == whole


def test_many_images_match_as_each_does_alone(random_coco: Any, scenes: Any) -> None:
    images = scenes(*random_coco(7, images=260, classes=3, most=15, coarse=8))  # more than are matched at a time
    for together, scene in zip(match_images(images), images, strict=True):
        alone = match_image(*scene)
        assert together.image_id == alone.image_id
        np.testing.assert_array_equal(together.records, alone.records)
        np.testing.assert_equal(together.positives, alone.positives)


def test_no_images_match_nothing() -> None:
    assert match_images([]) == []


def test_cocoapi_golden(shared: Path, scenes: Any) -> None:
    # cocodataset/cocoapi's fake detections on 100 images of val2014 and its printed result, 3 digits.
    folder = shared / "data/golden/cocoapi_val2014_100"
    dataset = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    scores = CocoAccumulator(match_images(scenes(dataset, results))).compute()
    printed = [0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564]
    assert list(scores.metrics.values()) == pytest.approx(printed, abs=5.1e-4)
    assert_equal(scores, dataset, results)


def test_padilla_golden(shared: Path, scenes: Any) -> None:
    # rafaelpadilla/review_object_detection_metrics, tests/test_coco_evaluator.py, six digits.
    folder = shared / "data/golden/padilla_coco"
    dataset = json.loads((folder / "gts/sampled_gts_bbox_area.json").read_text())
    results = json.loads((folder / "dets/sampled_bbox_results.json").read_text())["annotations"]
    scores = CocoAccumulator(match_images(scenes(dataset, results))).compute()
    published = [0.503647, 0.696973, 0.571667, 0.593252, 0.557991, 0.489363]
    published += [0.386813, 0.593680, 0.595353, 0.654764, 0.603130, 0.553744]
    assert list(scores.metrics.values()) == pytest.approx(published, abs=1e-6)


def test_ssd_golden(shared: Path, scenes: Any) -> None:
    # TensorFlow's quantised SSD-MobileNet v1 on coco_mini's val2017, with its own ids up to 90 and crowds.
    dataset = json.loads((shared / "data/coco_mini/annotations/instances_val2017.json").read_text())
    results = json.loads((shared / "data/golden/ssd_mobilenet_v1_on_coco_mini_val.json").read_text())
    scores = CocoAccumulator(match_images(scenes(dataset, results))).compute()
    assert [scores.metrics["AP"], scores.metrics["AP50"]] == pytest.approx([0.2055, 0.3333], abs=5.1e-5)
    assert_equal(scores, dataset, results)


def test_a_perfect_detection_scores_one() -> None:
    box = [10, 10, 50, 40]
    matches = match_image("1", Groundtruth([box], [1], [0], [2000.0]), [box], [1], [0.9])
    metrics = CocoAccumulator([matches]).compute().metrics
    assert metrics["AP"] == pytest.approx(1)
    assert metrics["APm"] == pytest.approx(1)
    assert metrics["APs"] is None
    assert metrics["ARl"] is None


def test_without_groundtruth_every_number_is_missing() -> None:
    accumulator = CocoAccumulator([match_image("1", NOTHING, [[0, 0, 5, 5]], [1], [0.9])])
    assert accumulator.compute() == CocoScores(dict.fromkeys(COCO_METRICS), {}, 1)


def test_no_image_at_all() -> None:
    nothing = CocoScores(dict.fromkeys(COCO_METRICS), {}, 0)
    assert CocoAccumulator().compute() == nothing
    accumulator = CocoAccumulator()
    accumulator.merge(CocoAccumulator())
    accumulator.compact()
    assert accumulator.compute() == nothing


def test_images_without_detections_and_groundtruth_are_scored() -> None:
    missed = match_image("a", Groundtruth([[0, 0, 9, 9]], [1], [0], [81]), [], [], [])
    scores = CocoAccumulator([missed, match_image("b", NOTHING, [], [], [])]).compute()
    assert scores.images == 2
    assert scores.metrics["AP"] == 0


def test_only_crowds_are_no_groundtruth() -> None:
    crowd = Groundtruth([[0, 0, 50, 50]], [1], [1], [2500])
    scores = CocoAccumulator([match_image("1", crowd, [[0, 0, 50, 50]], [1], [0.5])]).compute()
    assert scores.metrics["AP"] is None


def test_a_box_that_is_no_number_is_wrong_in_every_area() -> None:
    truth = Groundtruth([[0, 0, 50, 50]], [1], [0], [2500])
    scores = CocoAccumulator([match_image("1", truth, [[np.nan] * 4, [0, 0, 50, 50]], [1, 1], [0.9, 0.8])]).compute()
    assert [scores.metrics[name] for name in ("AP", "APm")] == pytest.approx([0.5, 0.5])


def test_a_diverged_model_scores_zero() -> None:
    truth = Groundtruth([[0, 0, 50, 50]], [1], [0], [2500])
    boxes = [[np.nan, 0, 50, 50], [np.inf, 0, np.inf, np.inf]]
    scores = CocoAccumulator([match_image("1", truth, boxes, [1, 1], [np.nan, 0.5])]).compute()
    assert scores.metrics["AP"] == 0
