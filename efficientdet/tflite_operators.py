"""The operators of a TFLite graph: what each is, and the constants it reads."""

from __future__ import annotations

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import ArrayLike, NDArray

_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def kind(model: schema.ModelT, op: schema.OperatorT) -> str:
    """The name of the operator in TFLite's schema, as CONV_2D."""
    code = model.operatorCodes[op.opcodeIndex]
    # The older field holds what fits into a byte, and 127 in its place.
    return _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def is_depthwise(model: schema.ModelT, op: schema.OperatorT) -> bool:
    """Whether it is a depthwise convolution."""
    return kind(model, op) == "DEPTHWISE_CONV_2D"


def is_convolution(model: schema.ModelT, op: schema.OperatorT) -> bool:
    """Whether it is a convolution, depthwise or not."""
    return kind(model, op) in ("CONV_2D", "DEPTHWISE_CONV_2D")


def constant(model: schema.ModelT, tensor: int) -> NDArray[np.float32]:
    """The values of a float tensor that is stored in the file, in its shape."""
    stored = model.subgraphs[0].tensors[tensor]
    return np.frombuffer(bytes(bytearray(model.buffers[stored.buffer].data)), np.float32).reshape(stored.shape)


def add_constant(model: schema.ModelT, like: int, values: ArrayLike) -> int:
    """The index of a new float tensor that holds other values than the tensor `like`, in the same shape."""
    [graph] = model.subgraphs
    tensor, buffer = copy.copy(graph.tensors[like]), schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
    tensor.name, tensor.buffer = b"%s/%d" % (tensor.name, len(graph.tensors)), len(model.buffers)
    model.buffers.append(buffer)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def output_names(model: schema.ModelT) -> list[str]:
    """Of every operator in turn, the name of the tensor that it writes first."""
    [graph] = model.subgraphs
    return [graph.tensors[int(op.outputs[0])].name.decode() for op in graph.operators]
