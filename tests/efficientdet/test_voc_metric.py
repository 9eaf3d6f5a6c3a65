from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.overlaps import Groundtruth
from efficientdet.voc_metric import VOC_METRICS, VocAccumulator, VocScores, match_voc_images

BOX = [0.0, 0.0, 10.0, 10.0]


def read_boxes(path: Path) -> list[list[str]]:
    return [line.split()[1:] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("threshold", "eleven", "every"),
    [(0.1, 0.3333333333, 0.3371980676), (0.3, 0.2683982683, 0.2456866804), (0.5, 1 / 33, 1 / 45), (0.75, 0.0, 0.0)],
)
def test_padilla_golden(shared: Path, threshold: float, eleven: float, every: float) -> None:
    # rafaelpadilla/review_object_detection_metrics, tests/test_case_1.py. Its boxes end on an inclusive pixel.
    folder, scenes = shared / "data/golden/padilla_voc_case1", []
    for path in sorted((folder / "gts").iterdir()):
        boxes = np.array(read_boxes(path), float) + [0, 0, 1, 1]
        found = np.array(read_boxes(folder / "dets" / path.name), float)
        ones = np.ones(len(boxes), int)
        truth = Groundtruth(boxes, ones, ones * 0, boxes[:, 2] * boxes[:, 3])
        scenes.append((path.stem, truth, found[:, 1:] + [0, 0, 1, 1], np.ones(len(found), int), found[:, 0]))
    scores = VocAccumulator(match_voc_images(scenes, threshold)).compute()
    assert list(scores.metrics.values()) == pytest.approx([eleven, every], abs=1e-9)
    assert scores.per_class == {1: scores.metrics}


def by_the_kit(scenes: list[Any], category: int) -> tuple[float, float] | None:
    """Both averages of one class, step by step as VOCevaldet.m and VOCap.m describe them."""
    free, rows = {}, []
    for image, (_, truth, boxes, classes, scores) in enumerate(scenes):
        free[image] = [not d for c, d in zip(truth.classes, truth.difficult, strict=True) if c == category]
        rows += [(s, image, b) for b, c, s in zip(boxes, classes, scores, strict=True) if c == category]
    positives = sum(sum(marks) for marks in free.values())
    if not positives:
        return None
    difficult = {image: [not mark for mark in marks] for image, marks in free.items()}
    tp, fp = [], []
    for _, image, box in sorted(rows, key=lambda row: -row[0]):
        truth = scenes[image][1]
        best, at = -1.0, -1
        others = [b for b, c in zip(truth.boxes_xywh, truth.classes, strict=True) if c == category]
        for j, (x, y, w, h) in enumerate(others):
            width = min(box[0] + box[2], x + w) - max(box[0], x)
            height = min(box[1] + box[3], y + h) - max(box[1], y)
            overlap = width * height / (box[2] * box[3] + w * h - width * height) if min(width, height) > 0 else 0
            best, at = (overlap, j) if overlap > best else (best, at)
        hit = best >= 0.5
        ignored = hit and difficult[image][at]
        tp.append(float(hit and not ignored and free[image][at]))
        fp.append(float(not ignored and not tp[-1]))
        if tp[-1]:
            free[image][at] = False
    tp, fp = np.cumsum(tp), np.cumsum(fp)
    recall, precision = tp / positives, tp / np.maximum(tp + fp, 1)
    eleven = sum(max(precision[recall >= t], default=0.0) for t in np.linspace(0, 1, 11)) / 11
    recall, precision = np.concatenate([[0], recall, [1]]), np.concatenate([[0], precision, [0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return eleven, float(np.sum(np.diff(recall) * precision[1:]))


def voc_scenes(random_coco: Any, scenes: Any, seed: int, images: int = 8, coarse: int = 8) -> list[Any]:
    """Difficult objects, crowds none, as many as 250 detections of two classes in an image."""
    dataset, results = random_coco(seed, images, classes=2, most=250, coarse=coarse)
    for annotation in dataset["annotations"]:
        annotation["iscrowd"] = 0
    return sorted(scenes(dataset, results), key=lambda scene: int(scene[0]))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(1, 8), coarse=st.sampled_from([1, 8]))
def test_equals_the_rules_of_the_kit(random_coco: Any, scenes: Any, seed: int, images: int, coarse: int) -> None:
    made = voc_scenes(random_coco, scenes, seed, images, coarse)
    scores = VocAccumulator(match_voc_images(made)).compute()
    expected = {c: values for c in (1, 2, 3) if (values := by_the_kit(made, c))}
    assert list(scores.per_class) == list(expected)
    for category, values in expected.items():
        assert list(scores.per_class[category].values()) == pytest.approx(values, abs=1e-12)
    for name in VOC_METRICS:
        of_classes = [numbers[name] for numbers in scores.per_class.values()]
        assert scores.metrics[name] == (pytest.approx(np.mean(of_classes)) if of_classes else None)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), parts=st.lists(st.integers(0, 2), min_size=8, max_size=8))
def test_the_numbers_are_the_same_whatever_the_sharding(
    random_coco: Any, scenes: Any, seed: int, parts: list[int]
) -> None:
    matches = match_voc_images(voc_scenes(random_coco, scenes, seed))
    merged = VocAccumulator()
    for of in (2, 0, 1):
        shard = VocAccumulator(m for m, part in zip(matches, parts, strict=True) if part == of)
        shard.compact()
        merged.merge(pickle.loads(pickle.dumps(shard)))
    assert merged.compute() == VocAccumulator(matches).compute()


def test_what_belongs_to_a_difficult_object_or_a_crowd_is_left_out() -> None:
    far = [50.0, 50.0, 10.0, 10.0]
    for flags in ({"is_crowd": [0, 1]}, {"is_crowd": [0, 0], "difficult": [0, 1]}):
        truth = Groundtruth([BOX, far], [1, 1], area=[100, 100], **flags)
        # twice on the object that does not count, with the best scores: neither right nor wrong
        scene = ("1", truth, [far, far, BOX], [1, 1, 1], [0.9, 0.8, 0.7])
        scores = VocAccumulator(match_voc_images([scene])).compute()
        assert list(scores.metrics.values()) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(("difficult", "expected"), [([1, 0], 0.0), ([0, 1], 1.0)])
def test_of_equal_overlaps_the_first_decides(difficult: list[int], expected: float) -> None:
    scene = ("1", Groundtruth([BOX, BOX], [1, 1], [0, 0], [100, 100], difficult), [BOX], [1], [0.9])
    assert VocAccumulator(match_voc_images([scene])).compute().metrics["VOC_every_point"] == expected


def test_a_part_of_a_crowd_does_not_belong_to_it() -> None:
    truth = Groundtruth([[0, 0, 100, 100], [200, 0, 10, 10]], [1, 1], [1, 0], [10000, 100])
    scene = ("1", truth, [BOX, [200, 0, 10, 10]], [1, 1], [0.9, 0.8])
    assert VocAccumulator(match_voc_images([scene])).compute().metrics["VOC_every_point"] == 0.5


def test_a_second_detection_is_wrong() -> None:
    scene = ("1", Groundtruth([BOX, [90, 90, 9, 9]], [1, 1], [0, 0], [100, 81]), [BOX, BOX], [1, 1], [0.9, 0.8])
    scores = VocAccumulator(match_voc_images([scene])).compute()
    assert list(scores.metrics.values()) == pytest.approx([6 / 11, 0.5])  # recall .5 with precision 1


def test_without_groundtruth_every_number_is_missing() -> None:
    nothing = dict.fromkeys(VOC_METRICS)
    assert VocAccumulator().compute() == VocScores(nothing, {}, 0)
    difficult = ("1", Groundtruth([BOX], [1], [0], [100], [1]), [BOX], [1], [0.9])
    empty = ("2", Groundtruth([], [], [], []), [], [], [])
    assert VocAccumulator(match_voc_images([difficult, empty])).compute() == VocScores(nothing, {}, 2)
