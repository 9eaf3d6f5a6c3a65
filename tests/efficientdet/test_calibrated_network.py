"""Quantisation takes raw pixels, keeps in float what it is told and nothing else, and answers like the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from efficientdet.calibrated_network import CalibratedNetwork
from efficientdet.errors import ConfigError, DataError, ModelError
from efficientdet.tflite_flatbuffer import unpack_model
from efficientdet.tflite_operators import kind

GREY = np.random.default_rng(0).integers(90, 160, (6, 8, 8, 3), dtype=np.uint8)


class Network(tf.Module):
    """Normalises, and adds a convolution of pixels to what it is made from."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = [
            tf.constant(np.random.default_rng(i).normal(size=shape), tf.float32)
            for i, shape in enumerate([(3, 3, 3, 8), (3, 3, 8, 1), (1, 1, 8, 8)])
        ]

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
    def run(self, images):
        wide = tf.nn.relu6(tf.nn.conv2d((images - 127.0) / 128.0, self.kernels[0], 1, "SAME"))
        deep = tf.nn.depthwise_conv2d(wide, self.kernels[1], [1, 1, 1, 1], "SAME")
        return {"out": wide + 0.01 * tf.nn.conv2d(deep, self.kernels[2], 1, "SAME")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, network = tmp_path_factory.mktemp("network"), Network()
    tf.saved_model.save(network, str(folder), signatures={"run": network.run})
    return folder


@pytest.fixture(scope="module")
def calibrated(folder: Path) -> CalibratedNetwork:
    return CalibratedNetwork(folder, "run", iter(GREY))


def written(content: bytes) -> dict[str, set[type]]:
    """By kind of operator, the types that it writes."""
    model = unpack_model(content)
    types = {tensor["index"]: tensor["dtype"] for tensor in Interpreter(model_content=content).get_tensor_details()}
    found: dict[str, set[type]] = {}
    for op in model.subgraphs[0].operators:
        found.setdefault(kind(model, op), set()).add(types[int(op.outputs[0])])
    return found


def test_input_takes_raw_pixels_although_no_image_is_black_or_white(calibrated: CalibratedNetwork):
    content = calibrated.quantized()
    [image] = Interpreter(model_content=content).get_input_details()
    assert image["dtype"] == np.uint8
    assert image["quantization"] == (1.0, 0)
    found = written(content)
    assert found.pop("DEQUANTIZE") == {np.float32}
    assert set().union(*found.values()) == {np.int8}
    assert calibrated.images == len(GREY)


def test_answers_are_those_of_the_float_network_within_a_step(folder: Path, calibrated: CalibratedNetwork):
    network = tf.saved_model.load(str(folder))
    answer = Interpreter(model_content=calibrated.quantized()).get_signature_runner("run")
    for image in GREY:
        exact = network.run(tf.constant(image[None], tf.float32))["out"].numpy()
        found = answer(**dict.fromkeys(answer.get_input_details(), image[None]))["out"]
        assert np.abs(found - exact).max() < 3 * 7 / 255  # some 7 wide; three for the rounding on the way


def test_outputs_can_be_integers(calibrated: CalibratedNetwork):
    [answer] = Interpreter(model_content=calibrated.quantized("uint8", "int8")).get_output_details()
    assert answer["dtype"] == np.int8
    assert answer["quantization"][0] > 0


def test_kept_layers_are_float_and_nothing_else(calibrated: CalibratedNetwork):
    assert len(set(calibrated.layers)) == len(calibrated.layers)
    content = calibrated.quantized(float_layers=["*depthwise*"])
    found = written(content)
    assert found["DEPTHWISE_CONV_2D"] == {np.float32}
    assert found["CONV_2D"] == found["ADD"] == {np.int8}
    everything = written(calibrated.quantized("float32", float_layers=["*"]))
    assert set().union(*everything.values()) == {np.float32}


def test_float_throughout_is_the_network(folder: Path, calibrated: CalibratedNetwork):
    network = tf.saved_model.load(str(folder))
    answer = Interpreter(model_content=calibrated.quantized("float32", float_layers=["*"])).get_signature_runner("run")
    image = GREY[:1].astype(np.float32)
    exact = network.run(tf.constant(image))["out"].numpy()
    found = answer(**dict.fromkeys(answer.get_input_details(), image))["out"]
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_ranges_are_those_of_what_is_added_not_of_the_sum(calibrated: CalibratedNetwork):
    """TensorFlow's calibrator gives what is added the range of the sum, see docs/decisions/0016."""
    model = unpack_model(calibrated.flatbuffer)
    [graph] = model.subgraphs
    [add] = [op for op in graph.operators if kind(model, op) == "ADD"]
    spans = [float(graph.tensors[i].quantization.max[0] - graph.tensors[i].quantization.min[0]) for i in add.inputs]
    assert min(spans) < 0.2 * max(spans)


def test_what_cannot_be_is_said_in_a_sentence(folder: Path, calibrated: CalibratedNetwork):
    with pytest.raises(DataError, match="there is no image; the examples must hold"):
        CalibratedNetwork(folder, "run", [])
    with pytest.raises(ConfigError, match=r"export.float_layers=blocks_99/\*: no layer is called so"):
        calibrated.quantized(float_layers=["blocks_99/*"])

    def never() -> Iterator[NDArray[np.uint8]]:
        raise AssertionError("an image is read")
        yield

    with pytest.raises(ConfigError, match=r"export.float_layers=blocks_99/\*: no layer is called so"):
        CalibratedNetwork(folder, "run", never(), ["blocks_99/*"])


def test_an_operator_without_integers_is_refused_until_it_is_kept(tmp_path: Path):
    class Odd(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
        def run(self, images):
            return {"out": tf.math.sin(images * 0.01)}

    odd = Odd()
    tf.saved_model.save(odd, str(tmp_path), signatures={"run": odd.run})
    network = CalibratedNetwork(tmp_path, "run", GREY)
    with pytest.raises(ModelError, match=r"sin.* \(SIN\): TensorFlow has no int8 for it; let it stay float"):
        network.quantized()
    assert np.float32 in written(network.quantized(float_layers=["*sin*"]))["SIN"]
