"""Suppression sees the strongest anchors of each level, and finds what it would among all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import anchors_for, centre_size
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import RawOutputs
from efficientdet.tflite import TFLiteWriter
from efficientdet.tflite_detector import TFLiteDetector
from efficientdet.tflite_tail import LEVEL_ANCHORS, _anchors, strongest

from .conftest import SMALL, lively_detector, random_pictures

CONFIG = Config().override(SMALL).override("model.image_size=128,nms.max_detections=20")
LABELS = LabelMap.from_names(["cat", "dog", "bird"])


def raw_outputs() -> RawOutputs:
    """Random ones; the finest of the levels has 16 x 16 cells of 9 anchors, the next 8 x 8."""
    rng = np.random.default_rng(0)
    sizes = anchors_for(CONFIG).feature_sizes
    maps = [[tf.constant(rng.normal(size=(1, h, w, 9 * n)), tf.float32) for h, w in sizes] for n in (3, 4)]
    return RawOutputs(*maps)


def test_of_a_large_level_the_strongest_anchors_are_left():
    raw = raw_outputs()
    found = strongest(raw, CONFIG, 3)
    assert sorted(name for name in found if "numbers" in name) == ["anchor_numbers_0", "anchor_numbers_1"]
    boxes = np.split(
        centre_size(anchors_for(CONFIG).boxes / 128), np.cumsum([9 * 16 * 16, 9 * 8 * 8, 9 * 4 * 4, 9 * 4])
    )
    for i, numbers in enumerate(found[f"anchor_numbers_{i}"].numpy() for i in range(2)):
        logits, deltas = (np.reshape(level[i], (-1, n)) for level, n in ((raw.class_logits, 3), (raw.box_deltas, 4)))
        assert len(set(numbers)) == LEVEL_ANCHORS < len(logits)
        left = np.setdiff1d(np.arange(len(logits)), numbers)
        assert logits[numbers].max(axis=1).min() >= logits[left].max()
        np.testing.assert_array_equal(found[f"class_logits_{i}"][0], logits[numbers])
        np.testing.assert_array_equal(found[f"box_deltas_{i}"][0], deltas[numbers])
        boxes[i] = boxes[i][numbers]
    np.testing.assert_array_equal(found["box_deltas_2"][0], np.reshape(raw.box_deltas[2], (-1, 4)))
    np.testing.assert_allclose(_anchors(found, anchors_for(CONFIG)), np.concatenate(boxes), atol=1e-6)


def test_who_asks_for_more_detections_has_more_anchors_enter():
    found = strongest(raw_outputs(), CONFIG.override("nms.max_detections=150"), 3)
    assert found["class_logits_0"].shape == (1, 750, 3)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The files with and without post-processing, and pictures."""
    folder, pictures = tmp_path_factory.mktemp("written"), random_pictures(6, 128, 128)
    model = lively_detector(CONFIG, 3, pictures)
    for kernel in (v for v in model.trainable_variables if v.path.endswith("-predict/pointwise_kernel")):
        kernel.assign(kernel * 0.2)  # the coarse levels are livelier still, and scores of 1 have no order
    with TFLiteWriter(model, CONFIG, LABELS) as writer:
        for name in ("whole", "raw"):
            writer.write_float(folder / f"float_{name}.tflite", raw=name == "raw")
            writer.write_int8(folder / f"int8_{name}.tflite", pictures, raw=name == "raw")
    return folder, pictures


@pytest.mark.parametrize("numbers", ["float", "int8"])
def test_what_is_found_is_what_all_anchors_give(written: tuple[Path, np.ndarray], numbers: str):
    folder, pictures = written
    whole, raw = (TFLiteDetector(folder / f"{numbers}_{name}.tflite", 1)(pictures) for name in ("whole", "raw"))
    np.testing.assert_array_equal(whole.count, raw.count)
    np.testing.assert_allclose(whole.scores, raw.scores, atol=1e-4)
    if numbers == "float":  # in int8 equal scores may stand in another order
        np.testing.assert_allclose(whole.boxes, raw.boxes, atol=0.02)
        np.testing.assert_array_equal(whole.classes, raw.classes)
