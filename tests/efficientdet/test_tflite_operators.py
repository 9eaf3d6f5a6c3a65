"""Operators are called by their names in the schema, and new constants leave the old ones alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from efficientdet.tflite_flatbuffer import pack_model, unpack_model
from efficientdet.tflite_operators import add_constant, constant, is_convolution, is_depthwise, kind, output_names


@pytest.fixture
def model(every_format: Any) -> schema.ModelT:
    return unpack_model((every_format.folder / "model_float32.tflite").read_bytes())


def test_kinds_are_those_of_the_schema(model: schema.ModelT):
    operators = model.subgraphs[0].operators
    kinds = [kind(model, op) for op in operators]
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MAX_POOL_2D", "CUSTOM"} <= set(kinds)
    assert sum(is_convolution(model, op) for op in operators) == kinds.count("CONV_2D") + kinds.count(
        "DEPTHWISE_CONV_2D"
    )
    assert sum(is_depthwise(model, op) for op in operators) == kinds.count("DEPTHWISE_CONV_2D")
    assert len(output_names(model)) == len(operators)


def test_a_new_constant_is_kept_and_the_old_one_stays(model: schema.ModelT):
    weights = next(int(op.inputs[1]) for op in model.subgraphs[0].operators if is_convolution(model, op))
    before = constant(model, weights).copy()
    index = add_constant(model, weights, before * 2)
    again = unpack_model(pack_model(model))
    np.testing.assert_array_equal(constant(again, index), before * 2)
    np.testing.assert_array_equal(constant(again, weights), before)
