"""The formats a detector ships in: where each lies in an export, and what its making needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from efficientdet.bundle import SAVED_MODEL_FOLDER
from efficientdet.format_name import FormatName

FROZEN_GRAPH_FILE = "frozen_graph.pb"


@dataclass(frozen=True)
class ExportFormat:
    """One way a detector ships.

    runtime: what runs it. place: its file or folder in an export. calibrated: whether images of examples must set its
    ranges. numbers: what a TFLite file or TensorRT computes in. pixels: what a TFLite file takes. raw: whether a TFLite
    file answers without post-processing.
    """

    runtime: Literal["saved_model", "frozen_graph", "tensorrt", "tflite", "onnx"]
    place: str
    calibrated: bool = False
    numbers: Literal["float32", "float16", "dynamic", "int8"] = "float32"
    pixels: Literal["uint8", "float32"] = "float32"
    raw: bool = False


FORMATS: dict[FormatName, ExportFormat] = {
    "saved_model": ExportFormat("saved_model", SAVED_MODEL_FOLDER),
    "frozen_graph": ExportFormat("frozen_graph", FROZEN_GRAPH_FILE),
    "tensorrt_fp32": ExportFormat("tensorrt", "tensorrt_fp32"),
    "tensorrt_fp16": ExportFormat("tensorrt", "tensorrt_fp16", numbers="float16"),
    "tensorrt_int8": ExportFormat("tensorrt", "tensorrt_int8", calibrated=True, numbers="int8"),
    "tflite_float32": ExportFormat("tflite", "model_float32.tflite"),
    "tflite_float16": ExportFormat("tflite", "model_float16.tflite", numbers="float16"),
    "tflite_dynamic": ExportFormat("tflite", "model_dynamic.tflite", numbers="dynamic"),
    "tflite_int8": ExportFormat("tflite", "model_int8.tflite", calibrated=True, numbers="int8", pixels="uint8"),
    "tflite_int8_float_input": ExportFormat("tflite", "model_int8_float_input.tflite", calibrated=True, numbers="int8"),
    "tflite_float32_raw": ExportFormat("tflite", "model_float32_raw.tflite", raw=True),
    "tflite_int8_raw": ExportFormat(
        "tflite", "model_int8_raw.tflite", calibrated=True, numbers="int8", pixels="uint8", raw=True
    ),
    "onnx": ExportFormat("onnx", "model.onnx"),
}
"""What `export.formats` can name; a TFLite file's name follows `efficientdet.bundle.variants`."""
