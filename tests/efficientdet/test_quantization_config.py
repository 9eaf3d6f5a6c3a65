from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from efficientdet.data.dataloader import DataLoader
from efficientdet.errors import ConfigError
from efficientdet.quantization_config import QuantizationConfig


def test_model_makers_ways_to_quantise(digit_shards: Path) -> None:
    data = DataLoader.from_cache(digit_shards / "Split-train")
    ops = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    asked = QuantizationConfig.for_int8(data, 5, tf.uint8, inference_output_type=tf.float32, supported_ops=ops)
    assert asked == QuantizationConfig("int8", data, 5)
    assert QuantizationConfig.for_int8(data).quantization_steps is None
    assert [QuantizationConfig.for_float16().kind, QuantizationConfig.for_dynamic().kind] == ["float16", "dynamic"]
    with pytest.raises(ConfigError, match="inference_input_type=int8: int8 files take their images in uint8"):
        QuantizationConfig.for_int8(data, inference_input_type=tf.int8)
