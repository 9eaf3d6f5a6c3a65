"""Model Maker's ways to quantise, and what of them a detector's file can have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from efficientdet.data.dataloader import DataLoader
from efficientdet.errors import ConfigError
from efficientdet.quantization_config import QuantizationConfig

INT8_OPS = tf.lite.OpsSet.TFLITE_BUILTINS_INT8


@pytest.fixture
def data(digit_shards: Path) -> DataLoader:
    return DataLoader.from_cache(digit_shards / "Split-train")


def test_model_makers_short_ways(data: DataLoader) -> None:
    asked = QuantizationConfig.for_int8(
        data, 5, tf.lite.Optimize.DEFAULT, tf.uint8, inference_output_type=tf.float32, supported_ops=INT8_OPS
    )
    assert (asked.kind, asked.pixels, asked.quantization_steps) == ("int8", "uint8", 5)
    assert asked.representative_data is data
    assert asked.optimizations == [tf.lite.Optimize.DEFAULT]
    assert QuantizationConfig.for_int8(data).quantization_steps is None
    for made, kind in ((QuantizationConfig.for_float16(), "float16"), (QuantizationConfig.for_dynamic(), "dynamic")):
        assert (made.kind, made.pixels) == (kind, "float32")


@pytest.mark.parametrize("pixels", [tf.float32, "float32", None])
def test_int8_with_images_in_float(data: DataLoader, pixels: Any) -> None:
    asked = QuantizationConfig.for_int8(data, inference_input_type=pixels)
    assert (asked.kind, asked.pixels) == ("int8", "float32")


def test_the_long_way(data: DataLoader) -> None:
    assert QuantizationConfig().kind == "dynamic"
    assert QuantizationConfig(optimizations=[]).kind == "float32"
    assert QuantizationConfig(supported_types=[tf.float16]).kind == "float16"
    asked = QuantizationConfig(
        representative_data=data,
        inference_input_type=tf.uint8,
        inference_output_type=tf.uint8,
        supported_ops=[INT8_OPS],
        experimental_new_quantizer=True,
    )
    assert (asked.kind, asked.pixels) == ("int8", "uint8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"inference_input_type": tf.uint8}, "inference_input_type=uint8: dynamic files take their images in float32"),
        ({"inference_output_type": tf.int64}, "inference_output_type=int64: must be one of float32, uint8, int8"),
        ({"supported_ops": INT8_OPS}, "representative_data: int8 needs images to calibrate with"),
        ({"supported_types": (tf.int8,)}, "representative_data: int8 needs images to calibrate with"),
    ],
)
def test_what_no_file_can_have_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        QuantizationConfig(**arguments)


def test_int8_images_are_refused(data: DataLoader) -> None:
    with pytest.raises(
        ConfigError, match="inference_input_type=int8: int8 files take their images in uint8 or float32"
    ):
        QuantizationConfig.for_int8(data, inference_input_type=tf.int8)
    with pytest.raises(ConfigError, match="representative_data: int8 needs images"):
        QuantizationConfig.for_int8(None)  # type: ignore[arg-type]
