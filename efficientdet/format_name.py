"""The formats that a detector can be exported in, by name; `efficientdet.export_format` describes each."""

from __future__ import annotations

from typing import Literal

FormatName = Literal[
    "saved_model",
    "frozen_graph",
    "tensorrt_fp32",
    "tensorrt_fp16",
    "tensorrt_int8",
    "tflite_float32",
    "tflite_float16",
    "tflite_dynamic",
    "tflite_int8",
    "tflite_int8_float_input",
    "tflite_float32_raw",
    "tflite_int8_raw",
    "onnx",
]
