"""Every operator of a real network has a name of its own that says where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from efficientdet.errors import ConfigError
from efficientdet.layer_names import layer_names, matching
from efficientdet.tflite import SIGNATURE, TFLiteWriter
from efficientdet.tflite_flatbuffer import unpack_model
from efficientdet.tflite_operators import kind


@pytest.fixture(scope="module")
def network(every_format: Any) -> schema.ModelT:
    """As the converter makes it, in float."""
    with TFLiteWriter(every_format.model, every_format.config, every_format.label_map) as writer:
        folder, _ = writer._network
        converter = tf.lite.TFLiteConverter.from_saved_model(str(Path(folder)), signature_keys=[SIGNATURE])
        return unpack_model(bytes(converter.convert()))


def test_names_say_where_and_what(network: schema.ModelT):
    names = layer_names(network)
    operators = network.subgraphs[0].operators
    assert len(set(names)) == len(names) == len(operators)
    assert {"stem/conv", "blocks_0/depthwise", "blocks_1/conv#1", "blocks_1/conv#2", "blocks_2/add"} <= set(names)
    assert "fpn_cells/cell_0/op_after_combine5/depthwise" in names
    for level in range(3, 8):
        for head in ("class", "box"):
            for layer in (f"{head}-0", f"{head}-predict"):
                assert {f"{head}_net/{layer}/depthwise@p{level}", f"{head}_net/{layer}/conv@p{level}"} <= set(names)
    for name, op in zip(names, operators, strict=True):
        assert ("depthwise" in name) == (kind(network, op) == "DEPTHWISE_CONV_2D")
        assert not any(word in name.lower() for word in ("batch", "relu", "efficient", "partitioned", ";"))


def test_patterns_find_names(network: schema.ModelT):
    names = layer_names(network)
    found = [names[i] for i in matching(["box_net/*@p3", "stem*"], names)]
    assert found[0] == "stem/conv"
    assert len(found) == 1 + 2 * 2, "one layer and the prediction, each depthwise and pointwise"
    assert matching([], names) == []
    with pytest.raises(ConfigError, match=r"float_layers=block_0: no layer is called so; `efficientdet quan"):
        matching(["block_0"], names)
