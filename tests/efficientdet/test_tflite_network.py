"""The network of a TFLite file, cut out of it, computes what the file without post-processing does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from efficientdet.errors import ModelError
from efficientdet.tflite_network import network_alone


def outputs(content: bytes, picture: np.ndarray) -> list[np.ndarray]:
    """All outputs for an image, as real numbers, largest first."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    [image] = interpreter.get_input_details()
    interpreter.set_tensor(image["index"], picture[None].astype(image["dtype"]))
    interpreter.invoke()
    found = []
    for detail in interpreter.get_output_details():
        scale, zero = detail["quantization"]
        values = interpreter.get_tensor(detail["index"]).astype(np.float32)
        found.append((values - zero) * scale if scale else values)
    return sorted(found, key=lambda values: values.size)


@pytest.mark.parametrize("numbers", ["float32", "int8"])
def test_it_answers_as_the_raw_file_does(every_format: Any, numbers: str):
    whole, raw = ((every_format.folder / f"model_{numbers}{end}.tflite").read_bytes() for end in ("", "_raw"))
    picture = every_format.pictures[0]
    found, expected = outputs(network_alone(whole), picture), outputs(raw, picture)
    assert [values.shape for values in found] == [values.shape for values in expected]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_file_without_an_end_to_cut_off(every_format: Any):
    with pytest.raises(ModelError, match="has no TFLite_Detection_PostProcess"):
        network_alone((every_format.folder / "model_int8_raw.tflite").read_bytes())
