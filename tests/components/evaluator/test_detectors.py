from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from components.evaluator.detectors import BundleDetectors, detectors
from efficientdet.data.input_pipeline import read_examples


def test_each_file_of_the_bundle_answers_for_itself(examples: Path, bundle: Callable[..., Path]) -> None:
    records = [example for example in read_examples(f"{examples}/Split-eval/*") if len(example["boxes"]) == 2]
    found = BundleDetectors(bundle(1, 2))([record["image_bytes"].numpy() for record in records])
    for record, by_variant in zip(records, found, strict=True):
        for variant, shift in (("float", 1), ("int8", 2)):
            boxes, scores, classes = by_variant[variant]
            off = np.minimum(record["boxes"].numpy() + np.float32([shift, 0, shift, 0]), 64)
            np.testing.assert_allclose(boxes, off, atol=1e-4)
            np.testing.assert_allclose(scores, 0.9, atol=1e-6)
            assert classes.tolist() == [1, 2]


def test_a_bundle_is_loaded_once(bundle: Callable[..., Path]) -> None:
    folder = str(bundle(1, 2))
    assert detectors(folder) is detectors(folder)
    detectors.cache_clear()
