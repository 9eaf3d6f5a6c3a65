"""COCO's numbers: our accumulator against pycocotools (and faster-coco-eval, where installed), same detections.

    python benchmarks/coco_metric.py [--images 5000]

Prints CPU seconds of each, the ratio to pycocotools, and the largest difference of the twelve numbers.
Synthetic: COCO val2017's size (80 classes, about 7 objects an image, 1 % of them crowds) and 100
detections an image, most of them near an object.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, Groundtruth, match_image

CLASSES, OBJECTS, DETECTIONS, CROWDS = 80, 7, 100, 0.01

Image = tuple[Groundtruth, np.ndarray, np.ndarray, np.ndarray]


def synthesise(images: int, seed: int = 0) -> list[Image]:
    """Per image its groundtruth, and DETECTIONS boxes xywh `[m, 4]`, classes `[m]` and scores `[m]`."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(images):
        n = rng.poisson(OBJECTS)
        boxes = np.concatenate([rng.uniform(0, 500, (n, 2)), np.exp(rng.uniform(2, 5.5, (n, 2)))], axis=1)
        classes = rng.integers(1, CLASSES + 1, n)
        crowd = rng.random(n) < CROWDS
        truth = Groundtruth(boxes, classes, crowd, boxes[:, 2] * boxes[:, 3] * rng.uniform(0.4, 1, n))
        found = np.concatenate([rng.uniform(0, 500, (DETECTIONS, 2)), np.exp(rng.uniform(2, 5.5, (DETECTIONS, 2)))], 1)
        found_classes = rng.integers(1, CLASSES + 1, DETECTIONS)
        if n:
            near = np.flatnonzero(rng.random(DETECTIONS) < 0.7)
            source = rng.integers(0, n, len(near))
            found[near] = boxes[source] * rng.normal(1, 0.08, (len(near), 4))
            found_classes[near] = classes[source]
        result.append((truth, found, found_classes, np.round(rng.random(DETECTIONS), 4)))
    return result


def ours(images: list[Image]) -> list[float | None]:
    """The twelve numbers by `efficientdet.coco_metric`."""
    accumulator = CocoAccumulator()
    for i, (truth, boxes, classes, scores) in enumerate(images):
        accumulator.add(match_image(str(i), truth, boxes, classes, scores))
    metrics = accumulator.compute().metrics
    return [metrics[name] for name in COCO_METRICS]


def by_cocoeval(coco: Any, cocoeval: Any, dataset: dict[str, Any], results: np.ndarray) -> list[float]:
    """The twelve numbers by a COCOeval class with pycocotools' interface."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco()
        truth.dataset = dataset
        truth.createIndex()
        evaluation = cocoeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats[:12])


def as_coco(images: list[Image]) -> tuple[dict[str, Any], np.ndarray]:
    """The same data as a COCO data set and a results array `[n, 7]`, the forms pycocotools reads fastest."""
    annotations = []
    for i, (truth, _, _, _) in enumerate(images):
        columns = (truth.boxes_xywh, truth.classes, truth.is_crowd, truth.area)
        for box, category, crowd, area in zip(*(np.asarray(c).tolist() for c in columns), strict=True):
            entry = {"image_id": i, "category_id": category, "bbox": box, "area": area, "iscrowd": int(crowd)}
            annotations.append({"id": len(annotations) + 1, **entry})
    categories = [{"id": c} for c in range(1, CLASSES + 1)]
    dataset = {"images": [{"id": i} for i in range(len(images))], "annotations": annotations, "categories": categories}
    rows = [
        np.column_stack([np.full(len(scores), i), boxes, scores, classes])
        for i, (_, boxes, classes, scores) in enumerate(images)
    ]
    return dataset, np.concatenate(rows)


def timed(run: Callable[[], list[Any]]) -> tuple[float, list[Any]]:
    """CPU seconds of a call, and its answer."""
    start = time.process_time()
    answer = run()
    return time.process_time() - start, answer


def main(images: int) -> None:
    """Runs the comparison and prints one line per implementation."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    data = synthesise(images)
    dataset, results = as_coco(data)
    runs: dict[str, Callable[[], list[Any]]] = {
        "pycocotools": lambda: by_cocoeval(COCO, COCOeval, dataset, results),
        "efficientdet.coco_metric": lambda: ours(data),
    }
    if importlib.util.find_spec("faster_coco_eval"):
        import faster_coco_eval

        runs["faster-coco-eval"] = lambda: by_cocoeval(
            faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster, dataset, results
        )
    print(f"{images} images x {DETECTIONS} detections x {CLASSES} classes")
    reference_seconds, reference = timed(runs.pop("pycocotools"))
    print(f"{'pycocotools':26}{reference_seconds:8.2f} CPU s")
    for name, run in runs.items():
        seconds, answer = timed(run)
        difference = max(abs(a - b) for a, b in zip(answer, reference, strict=True))
        ratio = reference_seconds / seconds
        print(f"{name:26}{seconds:8.2f} CPU s   ratio {ratio:.1f}   largest difference {difference:.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    main(parser.parse_args().images)
