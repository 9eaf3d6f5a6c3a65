"""TensorRT is refused where it is missing; all but NVIDIA's own conversion runs here."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientdet import tensorrt
from efficientdet.errors import DataError, EfficientDetError
from efficientdet.model.detector import normalise

REAL = inspect.signature(tf.experimental.tensorrt.Converter.__init__)


class Converter:
    """In the place of TensorFlow's, which needs a GPU: takes what that takes, and converts nothing."""

    made: list[Converter] = []  # noqa: RUF012

    def __init__(self, **settings: Any) -> None:
        REAL.bind(self, **settings)
        self.settings, self.batches = settings, []
        self.made.append(self)

    def convert(self, calibration_input_fn: Any = None) -> None:
        run = tf.saved_model.load(self.settings["input_saved_model_dir"]).signatures[
            self.settings["input_saved_model_signature_key"]
        ]
        for batch in calibration_input_fn() if calibration_input_fn else ():
            run(*batch)
            self.batches.append(batch[0].numpy())

    def save(self, output_saved_model_dir: str) -> None:
        shutil.copytree(self.settings["input_saved_model_dir"], output_saved_model_dir)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Converter]:
    """A machine that has what TensorRT needs; the converters that were made on it."""
    monkeypatch.setattr(tensorrt, "is_tensorrt_enabled", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(tf.experimental.tensorrt, "Converter", Converter)
    monkeypatch.setattr(Converter, "made", [])
    return Converter.made


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "is_tensorrt_enabled", lambda: False)
    with pytest.raises(EfficientDetError, match=r"TensorRT: TensorFlow 2\..* finds no TensorRT .*leave them out$"):
        tensorrt.check_tensorrt()
    monkeypatch.setattr(tensorrt, "is_tensorrt_enabled", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    with pytest.raises(EfficientDetError, match="TensorRT: TensorFlow sees no GPU here"):
        tensorrt.check_tensorrt()


def test_the_converted_network_serves_every_signature(every_format: Any, tmp_path: Path, here: list[Converter]) -> None:
    pictures = np.concatenate([every_format.pictures, every_format.pictures])[:12]
    tensorrt.export_tensorrt(
        every_format.model, every_format.config, every_format.label_map, pictures, tmp_path / "trt", "INT8"
    )
    [converter] = here
    assert converter.settings["precision_mode"] == "INT8"
    [batch] = converter.batches
    np.testing.assert_allclose(batch, normalise(every_format.pictures, every_format.config))
    found = tf.saved_model.load(str(tmp_path / "trt"))
    plain = tf.saved_model.load(str(every_format.folder / "Format-Serving"))
    assert set(found.signatures) == set(plain.signatures)
    pictures = tf.constant(every_format.pictures)
    answer, expected = (each.signatures["images"](images=pictures) for each in (found, plain))
    for name, values in expected.items():
        np.testing.assert_allclose(answer[name], values, atol=1e-2)
    assert (tmp_path / "trt/assets.extra/config.yaml").read_text() == every_format.config.to_yaml()
    assert (tmp_path / "trt/assets.extra/label_map.json").read_text() == every_format.label_map.to_json()


def test_images_are_calibrated_with_in_whole_batches(every_format: Any) -> None:
    sizes = {images: [len(batch) for batch in batches(every_format, images)] for images in (1, 7, 8, 17)}
    assert sizes == {1: [1], 7: [7], 8: [8], 17: [8, 8]}
    with pytest.raises(DataError, match="there is no image to calibrate with"):
        batches(every_format, 0)


def batches(every_format: Any, images: int) -> list[Any]:
    pictures = np.concatenate([every_format.pictures] * 3)[:images]
    return [batch for (batch,) in tensorrt.calibration_batches(pictures, every_format.config)()]
