"""Quantisation leaves nothing in float and takes raw pixels; the float conversions store weights as asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from efficientdet.errors import DataError
from efficientdet.quantize import convert_float, quantize_int8

GREY = np.random.default_rng(0).integers(90, 160, (6, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def convolution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel that normalises, convolves and clips."""
    kernel = tf.constant(np.random.default_rng(1).normal(size=(3, 3, 3, 4)), tf.float32)

    class Network(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
        def run(self, images):
            return {"out": tf.nn.relu6(tf.nn.conv2d((images - 127.0) / 128.0, kernel, 1, "SAME"))}

    folder, network = tmp_path_factory.mktemp("network"), Network()
    tf.saved_model.save(network, str(folder), signatures={"run": network.run})
    return folder


def test_input_takes_raw_pixels_although_no_image_is_black_or_white(convolution: Path):
    interpreter = Interpreter(model_content=quantize_int8(convolution, "run", GREY))
    [image] = interpreter.get_input_details()
    assert image["dtype"] == np.uint8
    assert image["quantization"] == (1.0, 0)
    details = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    written = {op["op_name"]: details[op["outputs"][0]] for op in interpreter._get_ops_details()}
    assert written.pop("DEQUANTIZE") == np.float32
    assert set(written.values()) == {np.int8}


def test_answers_are_those_of_the_float_network_within_a_step(convolution: Path):
    network = tf.saved_model.load(str(convolution))
    answer = Interpreter(model_content=quantize_int8(convolution, "run", iter(GREY))).get_signature_runner("run")
    [name] = answer.get_input_details()
    for image in GREY:
        exact = network.run(tf.constant(image[None], tf.float32))["out"].numpy()
        # outputs span 0..6 in 255 steps; two for the rounding of pixels and weights
        assert np.abs(answer(**{name: image[None]})["out"] - exact).max() < 3 * 6 / 255


def test_no_image_is_a_sentence(convolution: Path):
    with pytest.raises(DataError, match="there is no image; the train split must hold"):
        quantize_int8(convolution, "run", [])


@pytest.mark.parametrize(("weights", "stored"), [("float32", None), ("float16", np.float16), ("dynamic", None)])
def test_float_answers_are_those_of_the_network(convolution: Path, weights: Any, stored: Any):
    network = tf.saved_model.load(str(convolution))
    interpreter = Interpreter(model_content=convert_float(convolution, "run", weights))
    [image] = interpreter.get_input_details()
    assert image["dtype"] == np.float32
    assert stored is None or stored in {tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    answer = interpreter.get_signature_runner("run")
    for image in GREY.astype(np.float32):
        exact = network.run(tf.constant(image[None]))["out"].numpy()
        found = answer(**dict.fromkeys(answer.get_input_details(), image[None]))["out"]
        assert np.abs(found - exact).max() < (1e-5 if weights == "float32" else 0.02)
