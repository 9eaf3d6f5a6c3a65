"""COCO's numbers of a TFLite file, run with LiteRT on every image of a split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from efficientdet.boxes import yxyx_to_xywh
from efficientdet.coco_metric import CocoAccumulator, CocoScores, Groundtruth, match_image
from efficientdet.data.input_pipeline import decode_image, read_examples
from efficientdet.infer import TFLiteDetector


def evaluate_tflite(detector: TFLiteDetector, pattern: str | Sequence[str]) -> CocoScores:
    """The scores of a file's detections, which are at most its `nms.max_detections` per image.

    Args:
      detector: open it with `num_threads=1` for the same numbers each time: with more, the suppression orders equal
        scores by chance.
      pattern: file patterns of example shards.
    """
    accumulator = CocoAccumulator()
    for example in read_examples(pattern).as_numpy_iterator():
        [(boxes, scores, classes)] = detector([decode_image(example["image_bytes"]).numpy()])
        truth = Groundtruth(
            yxyx_to_xywh(example["boxes"].astype(np.float64)), example["classes"], example["is_crowd"], example["area"]
        )
        found = yxyx_to_xywh(boxes.astype(np.float64))
        accumulator.add(match_image(example["source_id"].decode(), truth, found, classes, scores))
    return accumulator.compute()
