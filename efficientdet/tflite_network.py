"""The network of a TFLite file alone: what it computes up to its last convolutions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from efficientdet.errors import ModelError
from efficientdet.tflite_flatbuffer import pack_model, unpack_model

POSTPROCESS = b"TFLite_Detection_PostProcess"


def network_alone(flatbuffer: bytes) -> bytes:
    """The flatbuffer of a detector without what follows its network.

    The outputs, in no order to rely on, are those of the convolutions that nothing but post-processing follows. There
    is no signature and no metadata. Raises ModelError when the detector has no TFLite_Detection_PostProcess.
    """
    model = unpack_model(flatbuffer)
    [graph] = model.subgraphs
    codes = [code.customCode for code in model.operatorCodes]
    ends = [op for op in graph.operators if codes[op.opcodeIndex] == POSTPROCESS]
    if not ends:
        raise ModelError(f"has no {POSTPROCESS.decode()}, so that nothing tells where its network ends")
    makers = {int(output): op for op in graph.operators for output in op.outputs}
    heads = _reached(model, makers, ends[0].inputs)
    kept = _needed(makers, heads)
    graph.operators = [op for op in graph.operators if id(op) in kept]
    graph.outputs = np.array(sorted(heads), np.int32)
    model.signatureDefs, model.metadata = [], []
    return pack_model(model)


def _reached(model: schema.ModelT, makers: dict[int, schema.OperatorT], tensors: Iterable[int]) -> set[int]:
    """The outputs of the convolutions that are met first on the ways back from `tensors`."""
    convolution, heads, seen, waiting = schema.BuiltinOperator.CONV_2D, set[int](), set[int](), list(map(int, tensors))
    while waiting:
        tensor = waiting.pop()
        if tensor in seen or tensor not in makers:
            continue
        seen.add(tensor)
        if model.operatorCodes[makers[tensor].opcodeIndex].builtinCode == convolution:
            heads.add(tensor)
        else:
            waiting += [int(i) for i in makers[tensor].inputs]
    return heads


def _needed(makers: dict[int, schema.OperatorT], tensors: Iterable[int]) -> set[int]:
    """The ids of the operators without which `tensors` cannot be computed."""
    needed, waiting = set[int](), list(tensors)
    while waiting:
        op = makers.get(waiting.pop())
        if op is not None and id(op) not in needed:
            needed.add(id(op))
            waiting += [int(i) for i in op.inputs]
    return needed
