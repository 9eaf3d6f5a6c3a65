"""The network alone answers in each mode what the network and its post-processing do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from efficientdet.bare_network import detections
from efficientdet.detector_file import open_detector
from efficientdet.errors import ConfigError, ModelError
from efficientdet.model.detector import normalise
from efficientdet.raw_names import by_level
from efficientdet.saved_model import export_saved_model


def exported(every_format: Any, folder: Path, mode: str | None, **nms: Any) -> Any:
    """The SavedModel with `pre_mode` none, loaded."""
    config = every_format.config.override({"export": {"pre_mode": None, "post_mode": mode}, "nms": nms})
    export_saved_model(every_format.model, config, every_format.label_map, folder)
    return tf.saved_model.load(str(folder)).signatures["serving_default"]


def test_raw_outputs_of_any_batch(every_format: Any, tmp_path: Path) -> None:
    """They are for programs that do the rest; ours say so."""
    images = normalise(every_format.pictures, every_format.config)
    found = exported(every_format, tmp_path, None)(images=images)
    expected = every_format.model(images, training=False)
    for level, of_model in zip(by_level(found), expected, strict=True):
        for values, wanted in zip(level, of_model, strict=True):
            np.testing.assert_allclose(values, wanted, atol=1e-3)
    with pytest.raises(ModelError, match="finds nothing in pictures by itself; export it with both"):
        open_detector(tmp_path)


@pytest.mark.parametrize("per_class", [True, False])
def test_tflites_operator_computes_in_tensorflow_what_it_does_in_litert(
    every_format: Any, tmp_path: Path, per_class: bool
) -> None:
    run = exported(every_format, tmp_path, "tflite", per_class=per_class)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    converter.allow_custom_ops = True
    lite = Interpreter(model_content=converter.convert(), num_threads=1).get_signature_runner("serving_default")
    for image in np.asarray(normalise(every_format.pictures[:3], every_format.config)):
        here, there = run(images=tf.constant(image[None])), lite(images=image[None])
        count = int(here["num_detections"][0])
        assert count == int(there["num_detections"][0]) > 0
        boxes, scores = (here[f"detection_{name}"].numpy()[0, :count] for name in ("boxes", "scores"))
        boxes_apart = np.abs(boxes[:, None] - there["detection_boxes"][0, None, :count]).max(axis=-1)
        scores_apart = np.abs(scores[:, None] - there["detection_scores"][0, None, :count])
        same = (boxes_apart < 1e-3) & (scores_apart < 1e-5)
        # Whether a box that overlaps by just the threshold goes is decided by the last bit.
        assert same.any(axis=1).mean() >= 0.9


def test_detections_are_in_pixels_of_the_input(every_format: Any, tmp_path: Path) -> None:
    config = every_format.config.override({"nms": {"per_class": False}})
    images = normalise(every_format.pictures, config)
    found = exported(every_format, tmp_path, "global", per_class=False)(images=images)
    expected = detections(every_format.model(images, training=False), config, 3)
    np.testing.assert_array_equal(found["num_detections"], expected["num_detections"])
    np.testing.assert_allclose(found["detection_scores"], expected["detection_scores"], atol=1e-5)
    np.testing.assert_allclose(found["detection_boxes"], expected["detection_boxes"], atol=1e-2)


def test_tflites_operator_takes_one_image_that_fits(every_format: Any) -> None:
    with pytest.raises(ConfigError, match=r"export\.post_mode=tflite goes with export\.pre_mode=null"):
        every_format.config.override("export.post_mode=tflite")
