"""Every TFLite format against the float SavedModel of the same detector, on the same images, as a Markdown table.

python benchmarks/export_parity.py --model runs/demo/artifacts/Trainer/model/5/Format-Serving \
    --calibrate 'examples/Split-train/*' --examples 'examples/Split-eval/*'

A detection of the SavedModel that scores 0.3 or more is matched with the detection of the same class that overlaps it
most. IoU and score are compared over those; AP is COCO's over the whole split, boxes in pixels of the images.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from numpy.typing import NDArray

from efficientdet.boxes import iou, xywh_to_yxyx
from efficientdet.checkpoint import load_detector
from efficientdet.coco_metric import CocoAccumulator, CocoScores, match_image
from efficientdet.data.input_pipeline import decode_image, read_examples
from efficientdet.data.representative_dataset import RepresentativeDataset
from efficientdet.detector_file import Detector, open_detector
from efficientdet.evaluate import detect_examples
from efficientdet.export import export_bundle
from efficientdet.export_format import FORMATS
from efficientdet.scored_image import Found

REFERENCE = "saved_model"
DEFAULT = (
    "tflite_float32",
    "tflite_float32_raw",
    "tflite_float16",
    "tflite_dynamic",
    "tflite_int8",
    "tflite_int8_float_input",
    "tflite_int8_raw",
)
SURE = 0.3
WARM_UP = 3


@dataclass
class Parity:
    """What one format answers beside the reference; per detection of the reference that is sure."""

    overlaps: list[float] = field(default_factory=list)
    score_differences: list[float] = field(default_factory=list)

    def add(self, reference: Found, found: Found) -> None:
        """Compares one image."""
        sure = reference.scores >= SURE
        if not sure.any():
            return
        if not len(found.scores):
            self.overlaps += [0.0] * int(sure.sum())
            self.score_differences += reference.scores[sure].tolist()
            return
        same = reference.classes[sure][:, None] == found.classes[None]
        overlaps = iou(xywh_to_yxyx(reference.boxes_xywh[sure]), xywh_to_yxyx(found.boxes_xywh)) * same
        nearest = overlaps.argmax(axis=1)
        self.overlaps += overlaps.max(axis=1).tolist()
        self.score_differences += np.abs(found.scores[nearest] - reference.scores[sure]).tolist()


def parities(detectors: Mapping[str, Detector], pattern: str) -> tuple[dict[str, Parity], dict[str, CocoScores]]:
    """By format, how it compares with the reference, and COCO's numbers."""
    compared = {name: Parity() for name in detectors}
    scores = {name: CocoAccumulator() for name in detectors}
    for image in detect_examples(detectors, pattern):
        for name in detectors:
            compared[name].add(image.found[REFERENCE], image.found[name])
            scores[name].add(match_image(*image.scene(name)))
    return compared, {name: accumulator.compute() for name, accumulator in scores.items()}


def latencies(detectors: Mapping[str, Detector], images: Sequence[NDArray[np.uint8]]) -> dict[str, float]:
    """Median milliseconds from a decoded image to its detections, the formats taking turns."""
    spent: dict[str, list[float]] = {name: [] for name in detectors}
    for i, image in enumerate(images):
        for name, detector in detectors.items():
            start = time.perf_counter()
            detector([image])
            if i >= WARM_UP:
                spent[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds)) * 1000 for name, seconds in spent.items()}


def row(name: str, size: int, parity: Parity, scores: CocoScores, reference: CocoScores, ms: float) -> str:
    """A line of the table."""
    drops = [
        reference.per_class[label]["AP"] - numbers["AP"]
        for label, numbers in scores.per_class.items()
        if numbers["AP"] is not None
    ]
    overlaps, differences = np.array(parity.overlaps), np.array(parity.score_differences)
    cells = [
        name,
        f"{size / 1e6:.1f}",
        f"{scores.metrics['AP']:.4f}",
        f"{reference.metrics['AP'] - scores.metrics['AP']:+.4f}",
        f"{max(drops):+.4f}",
        f"{overlaps.mean():.4f}",
        f"{np.quantile(overlaps, 0.01):.3f}",
        f"{differences.mean():.4f}",
        f"{differences.max():.3f}",
        f"{ms:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| format | MB | AP | drop | worst class's | mean IoU | 1 % have less | mean score difference | largest | ms |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Exports, compares, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a trained detector")
    parser.add_argument("--calibrate", required=True, help="shards whose images calibrate int8")
    parser.add_argument("--examples", required=True, help="shards that are compared")
    parser.add_argument("--formats", nargs="+", default=DEFAULT, choices=[n for n in FORMATS if "tflite" in n])
    parser.add_argument("--float-layers", nargs="*", default=[], help="patterns of layers that int8 keeps in float")
    parser.add_argument("--output", type=Path, help="keep the export in this folder")
    given = parser.parse_args()
    settings: dict[str, Any] = {"formats": [REFERENCE, *given.formats], "float_layers": given.float_layers}
    model, config, labels = load_detector(given.model, {"export": settings})
    with tempfile.TemporaryDirectory() as work:
        folder = given.output or Path(work) / "export"
        images = RepresentativeDataset(given.calibrate, config)
        export_bundle(model, config, labels, images, folder)
        places = {name: folder / FORMATS[name].place for name in config.export.formats}
        detectors = {name: open_detector(place) for name, place in places.items()}
        compared, scores = parities(detectors, given.examples)
        some = read_examples(given.examples).take(33).as_numpy_iterator()
        ms = latencies(detectors, [np.asarray(decode_image(example["image_bytes"])) for example in some])
        print(
            f"calibrated on {len(images)} images, sha256 {images.sha256}, by class {images.facts['images_per_class']}"
        )
        print(HEAD)
        for name, place in places.items():
            files = [file for file in place.rglob("*") if file.is_file()] if place.is_dir() else [place]
            size = sum(file.stat().st_size for file in files)
            print(row(name, size, compared[name], scores[name], scores[REFERENCE], ms[name]))


if __name__ == "__main__":
    main()
