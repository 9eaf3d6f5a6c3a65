"""Detection from the TFLite file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from efficientdet.errors import ModelError
from efficientdet.tflite_detector import TFLiteDetector


@pytest.fixture(scope="module")
def model_file(tiny_export: Any) -> Path:
    return tiny_export.folder / "model_int8.tflite"


@pytest.fixture(scope="module")
def detector(model_file: Path) -> TFLiteDetector:
    # With more threads the suppression orders equal scores by chance.
    return TFLiteDetector(model_file, num_threads=1)


def test_a_batch_of_any_sizes_is_answered_in_original_pixels(detector: TFLiteDetector, tiny_export: Any):
    wide = np.asarray(Image.fromarray(tiny_export.pictures[0]).resize((200, 50)))
    found = detector([tiny_export.pictures[1], wide])
    assert found.boxes.shape == (2, 20, 4)
    assert (found.count > 0).all()
    [_, (boxes, scores, classes)] = found
    assert (boxes >= 0).all()
    assert (boxes <= [50, 200, 50, 200]).all()
    assert (boxes[:, 3] > 64).any(), "coordinates are scaled back"
    assert (np.diff(scores) <= 0).all()
    assert set(classes) <= {1, 2, 3}
    empty = np.arange(20) >= found.count[:, None]
    assert not found.scores[empty].any()
    assert not found.boxes[empty].any()
    [alone] = detector([wide])
    np.testing.assert_array_equal(alone[0], boxes)


def test_boxes_are_the_saved_models_on_average(detector: TFLiteDetector, tiny_export: Any):
    """The best detections of the int8 file, against the float one; random weights, so only most must agree."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(tiny_export.folder / "Format-Serving"))
    exact = loaded.signatures["images"](images=tf.constant(tiny_export.pictures))
    found = detector(list(tiny_export.pictures))
    assert np.abs(found.scores[:, :5] - exact["detection_scores"].numpy()[:, :5]).mean() < 0.05


def test_what_is_not_our_model_is_refused_with_a_sentence(model_file: Path, tmp_path: Path, shared: Path):
    with pytest.raises(ModelError, match=r"none\.tflite: there is no such file"):
        TFLiteDetector(tmp_path / "none.tflite")
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(model_file.read_bytes()[:-2000])
    with pytest.raises(ModelError, match=r"cut\.tflite: carries no config\.yaml"):
        TFLiteDetector(cut)
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(b"\0" * 64 + model_file.read_bytes()[64:])
    with pytest.raises(ModelError, match=r"damaged\.tflite: LiteRT cannot run it"):
        TFLiteDetector(damaged)
    [published] = (shared / "data/models").glob("*.tflite")
    with pytest.raises(ModelError, match="not a TFLite model of this product"):
        TFLiteDetector(published)
