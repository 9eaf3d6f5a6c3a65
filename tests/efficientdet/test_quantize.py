"""The float conversions store weights as asked, and answer like the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from efficientdet.quantize import convert_float

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
