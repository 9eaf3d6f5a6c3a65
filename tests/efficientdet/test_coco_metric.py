from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, Groundtruth, ImageMatches, match_image

NOTHING = Groundtruth([], [], [], [])


def image_matches(dataset: dict, results: list[dict]) -> list[ImageMatches]:
    """Each image of a COCO data set matched with its results, in the file's order."""
    matches = []
    for image in dataset["images"]:
        annotations = [a for a in dataset["annotations"] if a["image_id"] == image["id"]]
        found = [r for r in results if r["image_id"] == image["id"]]
        columns = ("bbox", "category_id", "iscrowd", "area")
        truth = Groundtruth(*([a[column] for a in annotations] for column in columns))
        matches.append(
            match_image(str(image["id"]), truth, *([r[c] for r in found] for c in ("bbox", "category_id", "score")))
        )
    return matches


def pycocotools_stats(dataset: dict, results: list[dict]) -> list[float | None]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        if not results:  # loadRes cannot read an empty list
            results = [{"image_id": dataset["images"][0]["id"], "category_id": 10**6, "bbox": [0, 0, 1, 1], "score": 0}]
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [None if value == -1 else value for value in evaluation.stats]


def assert_equal(scores: dict[str, float | None], expected: list[float | None], within: float = 1e-9) -> None:
    for name, value in zip(COCO_METRICS, expected, strict=True):
        if value is None:
            assert scores[name] is None, name
        else:
            assert scores[name] == pytest.approx(value, abs=within), name


def random_dataset(seed: int, images: int, classes: int, most: int, coarse: int) -> tuple[dict, list[dict]]:
    """Groundtruth and results with crowds, ties in score and overlap, shuffled ids and empty images."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    ids = (rng.permutation(images) * 7 + 1).tolist()
    for image_id in ids:
        truth = np.round(rng.uniform(1, 300, (rng.integers(0, 12), 4)) / coarse) * coarse + coarse
        categories = rng.integers(1, classes + 1, len(truth))
        for box, category in zip(truth.tolist(), categories.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3] * float(rng.choice([1.0, 0.6, 0.02])),
                    "iscrowd": int(rng.random() < 0.2),
                }
            )
        for _ in range(rng.integers(0, most)):
            near = len(truth) and rng.random() < 0.8
            i = rng.integers(len(truth)) if near else 0
            box = truth[i] + np.round(rng.normal(0, 4, 4) / coarse) * coarse if near else rng.uniform(1, 300, 4)
            box[2:] = np.maximum(box[2:], 1)
            category = categories[i] if near and rng.random() < 0.9 else rng.integers(1, classes + 1)
            score = round(float(rng.random()), 1)
            results.append({"image_id": image_id, "category_id": int(category), "bbox": box.tolist(), "score": score})
    dataset = {
        "images": [{"id": i} for i in ids],
        "annotations": annotations,
        "categories": [{"id": c} for c in range(1, classes + 1)],
    }
    return dataset, results


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 8),
    classes=st.integers(1, 3),
    most=st.sampled_from([1, 15, 400]),  # 400 in few classes: more than COCO's 100 per class
    coarse=st.sampled_from([1, 8]),
)
def test_equals_pycocotools(seed: int, images: int, classes: int, most: int, coarse: int) -> None:
    dataset, results = random_dataset(seed, images, classes, most, coarse)
    scores = CocoAccumulator(image_matches(dataset, results)).compute()
    assert_equal(scores.metrics, pycocotools_stats(dataset, results), within=0.0)
    assert scores.images == images


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), parts=st.integers(1, 5))
def test_parts_merged_in_any_order_give_the_same_numbers(seed: int, parts: int) -> None:
    matches = image_matches(*random_dataset(seed, images=10, classes=2, most=15, coarse=8))
    whole = CocoAccumulator(matches).compute()
    random.Random(seed).shuffle(matches)
    merged = CocoAccumulator()
    for part in range(parts):
        shard = CocoAccumulator(matches[part::parts])
        shard.compact()
        merged.merge(pickle.loads(pickle.dumps(shard)))
    assert merged.compute() == whole


def test_per_class_numbers_are_those_of_the_class_alone() -> None:
    dataset, results = random_dataset(3, images=12, classes=3, most=20, coarse=1)
    scores = CocoAccumulator(image_matches(dataset, results)).compute()
    assert set(scores.per_class) == {1, 2, 3}
    for category, metrics in scores.per_class.items():
        alone = {**dataset, "categories": [{"id": category}]}
        assert_equal(metrics, pycocotools_stats(alone, results), within=0.0)


def test_cocoapi_golden(shared: Path) -> None:
    # cocodataset/cocoapi's fake detections on 100 images of val2014 and its printed result, 3 digits.
    folder = shared / "data/golden/cocoapi_val2014_100"
    dataset = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    scores = CocoAccumulator(image_matches(dataset, results)).compute()
    printed = [0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564]
    assert_equal(scores.metrics, printed, within=5.1e-4)
    assert_equal(scores.metrics, pycocotools_stats(dataset, results), within=0.0)


def test_padilla_golden(shared: Path) -> None:
    # rafaelpadilla/review_object_detection_metrics, tests/test_coco_evaluator.py, six digits.
    folder = shared / "data/golden/padilla_coco"
    dataset = json.loads((folder / "gts/sampled_gts_bbox_area.json").read_text())
    results = json.loads((folder / "dets/sampled_bbox_results.json").read_text())["annotations"]
    scores = CocoAccumulator(image_matches(dataset, results)).compute()
    published = [0.503647, 0.696973, 0.571667, 0.593252, 0.557991, 0.489363]
    published += [0.386813, 0.593680, 0.595353, 0.654764, 0.603130, 0.553744]
    assert_equal(scores.metrics, published, within=1e-6)


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
    scores = accumulator.compute()
    assert set(scores.metrics) == set(COCO_METRICS)
    assert set(scores.metrics.values()) == {None}
    assert scores.per_class == {}
    assert scores.images == 1


def test_no_image_at_all() -> None:
    assert CocoAccumulator().compute().images == 0


def test_images_without_detections_and_groundtruth_are_scored() -> None:
    missed = match_image("a", Groundtruth([[0, 0, 9, 9]], [1], [0], [81]), [], [], [])
    scores = CocoAccumulator([missed, match_image("b", NOTHING, [], [], [])]).compute()
    assert scores.images == 2
    assert scores.metrics["AP"] == 0


def test_only_crowds_are_no_groundtruth() -> None:
    crowd = Groundtruth([[0, 0, 50, 50]], [1], [1], [2500])
    scores = CocoAccumulator([match_image("1", crowd, [[0, 0, 50, 50]], [1], [0.5])]).compute()
    assert scores.metrics["AP"] is None


def test_a_diverged_model_scores_zero() -> None:
    truth = Groundtruth([[0, 0, 50, 50]], [1], [0], [2500])
    boxes = [[np.nan, 0, 50, 50], [np.inf, 0, np.inf, np.inf]]
    scores = CocoAccumulator([match_image("1", truth, boxes, [1, 1], [np.nan, 0.5])]).compute()
    assert scores.metrics["AP"] == 0
