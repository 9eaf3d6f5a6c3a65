"""Joined models compute one after the other, and rewritten files keep their alignment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from efficientdet.tflite_flatbuffer import join_models, order_outputs, pack_model, tensors_by_name, unpack_model

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(scope="module")
def convert(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., schema.ModelT]:
    """Converts a function on named `[1, 3]` or `[1, 4]` inputs to TFLite objects."""

    def converted(function: Callable, **widths: int) -> schema.ModelT:
        specs = {name: tf.TensorSpec([1, width], tf.float32, name=name) for name, width in widths.items()}
        module, folder = tf.Module(), str(tmp_path_factory.mktemp("model"))
        module.run = tf.function(function, autograph=False)
        tf.saved_model.save(module, folder, signatures={"run": module.run.get_concrete_function(**specs)})
        return unpack_model(tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["run"]).convert())

    return converted


@pytest.fixture(scope="module")
def front(convert: Callable[..., schema.ModelT]) -> schema.ModelT:
    return convert(lambda x: {"product": x @ WEIGHTS, "square": (x @ WEIGHTS) ** 2}, x=3)


def run(model: schema.ModelT, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    return Interpreter(model_content=pack_model(model)).get_signature_runner("run")(**inputs)


def test_joined_models_compute_what_both_do_in_turn(convert: Callable[..., schema.ModelT], front: schema.ModelT):
    back = convert(
        lambda square, product: {"difference": square - 3 * product, "same": product + 0}, square=4, product=4
    )
    x = np.array([[1, -2, 0.5]], np.float32)
    answer = run(join_models(front, back), x=x)
    assert sorted(answer) == ["difference", "same"]
    np.testing.assert_allclose(answer["difference"], (x @ WEIGHTS) ** 2 - 3 * (x @ WEIGHTS))
    assert sorted(run(front, x=x)) == ["product", "square"], "the parts are not changed"


@pytest.mark.parametrize("names", [["product", "square"], ["square", "product"]])
def test_outputs_take_the_order_asked_for(front: schema.ModelT, names: list[str]):
    model = unpack_model(pack_model(front))
    order_outputs(model, names)
    indices = tensors_by_name(model.signatureDefs[0].outputs)
    assert [indices[name] for name in names] == list(model.subgraphs[0].outputs) == sorted(indices.values())
    x = np.array([[1, -2, 0.5]], np.float32)
    for name, answer in run(front, x=x).items():
        np.testing.assert_array_equal(run(model, x=x)[name], answer)


def test_weights_are_aligned_to_16_bytes(front: schema.ModelT):
    content = pack_model(front)
    assert content[4:8] == b"TFL3"
    assert content.index(WEIGHTS.T.tobytes()) % 16 == 0
