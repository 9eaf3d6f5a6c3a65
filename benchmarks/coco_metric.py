"""COCO's numbers: our accumulator against pycocotools (and faster-coco-eval, where installed), same detections.

    python benchmarks/coco_metric.py [--images 5000] [--rounds 3]

Every round runs all of them once. Of each is printed the seconds of the median round, processor and clock, the ratio of
pycocotools' to them, and the largest difference of the twelve numbers from pycocotools'. All start from arrays in
memory: `from arrays` counts the index and the loading of the results, which pycocotools and its like want, and
`evaluation` leaves them out. Synthetic: COCO val2017's size (80 classes, about 7 objects an image, 1 % of them crowds)
and 100 detections an image, most of them near an object.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import pickle
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, Groundtruth, match_images

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


class Seconds(NamedTuple):
    """What a piece of work took."""

    processor: float
    clock: float


class Run(NamedTuple):
    """One implementation, once."""

    from_arrays: Seconds
    evaluation: Seconds
    numbers: list[float]


class Stopwatch:
    """Reads both clocks since it was made."""

    def __init__(self) -> None:
        self._start = time.process_time(), time.perf_counter()

    def read(self) -> Seconds:
        """What has passed."""
        return Seconds(time.process_time() - self._start[0], time.perf_counter() - self._start[1])


def ours(images: list[Image]) -> Run:
    """The twelve numbers by `efficientdet.coco_metric`."""
    watch = Stopwatch()
    accumulator = CocoAccumulator(match_images([(str(i), *image) for i, image in enumerate(images)]))
    metrics = accumulator.compute().metrics
    seconds = watch.read()
    return Run(seconds, seconds, [metrics[name] for name in COCO_METRICS])


def by_cocoeval(coco: Any, cocoeval: Any, images: list[Image]) -> Run:
    """The twelve numbers by a COCOeval class with pycocotools' interface."""
    dataset, results = as_coco(images)
    with contextlib.redirect_stdout(io.StringIO()):
        watch = Stopwatch()
        truth = coco()
        truth.dataset = dataset
        truth.createIndex()
        found = truth.loadRes(results)
        evaluation = Stopwatch()
        run = cocoeval(truth, found, "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return Run(watch.read(), evaluation.read(), list(run.stats[:12]))


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


def implementations() -> Iterator[tuple[str, Callable[[list[Image]], Run]]]:
    """By name, pycocotools first."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    yield "pycocotools", lambda images: by_cocoeval(COCO, COCOeval, images)
    if importlib.util.find_spec("faster_coco_eval"):
        import faster_coco_eval as fast

        yield "faster-coco-eval", lambda images: by_cocoeval(fast.COCO, fast.COCOeval_faster, images)
    yield "efficientdet.coco_metric", ours


def medians(runs: list[Seconds], reference: list[Seconds]) -> str:
    """Processor and clock seconds of the median round, and the median of the rounds' ratios of clock seconds."""
    ratio = statistics.median(them.clock / own.clock for own, them in zip(runs, reference, strict=True))
    processor, clock = (statistics.median(column) for column in zip(*runs, strict=True))
    return f"{processor:7.2f} {clock:7.2f} {ratio:7.1f}"


def main(images: int, rounds: int) -> None:
    """Runs the comparison and prints one line per implementation."""
    data = synthesise(images)
    runs: dict[str, list[Run]] = {name: [run(data)] for name, run in implementations()}
    for _ in range(rounds - 1):
        for name, run in implementations():
            runs[name].append(run(data))
    print(f"{images} images x {DETECTIONS} detections x {CLASSES} classes, {rounds} rounds")
    print(f"{'':26}{'from arrays':>23}   {'evaluation':>23}")
    print(f"{'':26}{'CPU s  clock s   ratio':>23}   {'CPU s  clock s   ratio':>23}")
    reference = runs["pycocotools"]
    for name, own in runs.items():
        columns = [
            medians([run[part] for run in own], [run[part] for run in reference])
            for part in (Run._fields.index("from_arrays"), Run._fields.index("evaluation"))
        ]
        difference = max(abs(a - b) for a, b in zip(own[0].numbers, reference[0].numbers, strict=True))
        print(f"{name:26}{columns[0]}   {columns[1]}   largest difference {difference:.1e}")
    accumulator = CocoAccumulator(match_images([(str(i), *image) for i, image in enumerate(data)]))
    accumulator.compact()
    size = len(pickle.dumps(accumulator))
    print(f"an accumulator of all: {size} bytes, {size / (images * DETECTIONS):.1f} a detection")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.images, arguments.rounds)
