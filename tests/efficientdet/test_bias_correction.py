"""Corrected biases undo what rounded weights move the mean by, in each convolution by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from efficientdet.activations import observe
from efficientdet.bias_correction import corrected_biases, rounding_error, set_bias
from efficientdet.tflite_flatbuffer import pack_model, unpack_model
from efficientdet.tflite_operators import add_constant, constant, is_convolution, is_depthwise

IMAGES = np.random.default_rng(0).integers(100, 256, (6, 8, 8, 3)).astype(np.float32)


def made(tmp_path: Path) -> schema.ModelT:
    """A strided, a depthwise and a plain convolution, all without bias, so that they share zeros."""
    rng = np.random.default_rng(1)
    shapes = [(3, 3, 3, 8), (3, 3, 8, 1), (1, 1, 8, 8)]
    kernels = [tf.constant(rng.normal(size=shape) * 0.1, tf.float32) for shape in shapes]

    class Network(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
        def run(self, images):
            first = tf.nn.conv2d(images, kernels[0], 2, "SAME")
            second = tf.nn.depthwise_conv2d(first, kernels[1], [1, 1, 1, 1], "SAME")
            return {"out": tf.nn.conv2d(second, kernels[2], 1, "VALID")}

    module = Network()
    tf.saved_model.save(module, str(tmp_path), signatures={"run": module.run})
    return unpack_model(
        bytes(tf.lite.TFLiteConverter.from_saved_model(str(tmp_path), signature_keys=["run"]).convert())
    )


@pytest.fixture
def network(tmp_path: Path) -> schema.ModelT:
    return made(tmp_path / "a")


@pytest.fixture
def plain(tmp_path: Path) -> schema.ModelT:
    return made(tmp_path / "b")


def answers(model: schema.ModelT) -> list[np.ndarray]:
    """Mean over the images of what every convolution answers."""
    interpreter = Interpreter(model_content=pack_model(model), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    outputs = [int(op.outputs[0]) for op in model.subgraphs[0].operators if is_convolution(model, op)]
    found = []
    for image in IMAGES:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        found.append([interpreter.get_tensor(index).mean(axis=(0, 1, 2)) for index in outputs])
    return [np.mean(channels, axis=0) for channels in zip(*found, strict=True)]


def round_weights(model: schema.ModelT) -> None:
    for op in model.subgraphs[0].operators:
        if is_convolution(model, op):
            weights = constant(model, int(op.inputs[1]))
            rounded = weights + rounding_error(weights, 3 if is_depthwise(model, op) else 0)
            op.inputs = np.array(
                [op.inputs[0], add_constant(model, int(op.inputs[1]), rounded), op.inputs[2]], np.int32
            )


def test_means_of_the_rounded_network_are_those_of_the_exact_one(network: schema.ModelT, plain: schema.ModelT):
    exact = answers(network)
    round_weights(plain)
    moved = [np.abs(found - wanted).max() for found, wanted in zip(answers(plain), exact, strict=True)]
    for place, bias in corrected_biases(network, observe(network, IMAGES)).items():
        set_bias(network, place, bias)
    biases = [int(op.inputs[2]) for op in network.subgraphs[0].operators if is_convolution(network, op)]
    assert len(set(biases)) == 3, "each has its own"
    round_weights(network)
    left = [np.abs(found - wanted).max() for found, wanted in zip(answers(network), exact, strict=True)]
    assert min(moved) > 0.01
    for before, after in zip(moved, left, strict=True):
        assert after < 0.15 * before  # the borders' share of the mean is spread over the whole


def test_each_channel_is_rounded_by_its_own_scale():
    weights = np.array([[[[1.0, 100.0]]], [[[0.5, 0.3]]]], np.float32)
    error = rounding_error(weights, 0)
    np.testing.assert_allclose(error[0, 0, 0], [np.round(1.27) / 1.27 - 1, 0], atol=1e-5)
    assert np.abs(error[1]).max() < 0.5 / 127 / 2
    np.testing.assert_array_equal(rounding_error(np.zeros((2, 1, 1, 2), np.float32), 0), 0)
