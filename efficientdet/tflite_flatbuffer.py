"""TFLite models as objects that can be joined and renumbered, and back to bytes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

FILE_IDENTIFIER = b"TFL3"


def unpack_model(flatbuffer: bytes) -> schema.ModelT:
    """The objects of a TFLite flatbuffer, named as in TensorFlow's schema.fbs."""
    return schema.ModelT.InitFromPackedBuf(bytearray(flatbuffer), 0)


def pack_model(model: schema.ModelT) -> bytes:
    """The flatbuffer of a model, weights aligned to 16 bytes."""
    for buffer in model.buffers:
        buffer.__class__ = _AlignedBufferT
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def join_models(front: schema.ModelT, back: schema.ModelT) -> schema.ModelT:
    """One model that runs `front`, then `back` on its outputs.

    Both have one graph and one signature; every input of `back` takes the output of `front` that bears its
    name in the signature. The signature of the result is front's with back's outputs.
    """
    joined, back = copy.deepcopy(front), copy.deepcopy(back)
    [graph], [tail] = joined.subgraphs, back.subgraphs
    [signature], [ends] = joined.signatureDefs, back.signatureDefs
    given = tensors_by_name(signature.outputs)
    taken = {index: given[name] for name, index in tensors_by_name(ends.inputs).items()}
    indices = np.zeros(len(tail.tensors), np.int32)
    for i, tensor in enumerate(tail.tensors):
        indices[i] = taken.get(i, len(graph.tensors))
        if i not in taken:
            tensor.buffer += len(joined.buffers)
            graph.tensors.append(tensor)
    for op in tail.operators:
        op.opcodeIndex += len(joined.operatorCodes)
    joined.operatorCodes += back.operatorCodes
    joined.buffers += back.buffers
    _renumber_graph(tail, ends, indices)
    graph.operators += tail.operators
    graph.outputs, signature.outputs = tail.outputs, ends.outputs
    return joined


def order_outputs(model: schema.ModelT, names: Sequence[str]) -> None:
    """Renumbers the output tensors so that position, ascending index and the order of `names` agree."""
    [graph], [signature] = model.subgraphs, model.signatureDefs
    by_name = tensors_by_name(signature.outputs)
    wanted = [by_name[name] for name in names]
    indices = np.arange(len(graph.tensors), dtype=np.int32)
    indices[wanted] = np.sort(wanted)
    graph.tensors = [graph.tensors[i] for i in np.argsort(indices)]
    _renumber_graph(graph, signature, indices)
    graph.outputs = np.sort(wanted).astype(np.int32)


def tensors_by_name(ends: Sequence[schema.TensorMapT]) -> dict[str, int]:
    """Tensor index by signature name, of a signature's inputs or outputs."""
    return {end.name.decode(): end.tensorIndex for end in ends}


def _renumber_graph(graph: schema.SubGraphT, signature: schema.SignatureDefT, indices: NDArray[np.int32]) -> None:
    """Replaces every tensor index i of operators, ends and signature by `indices[i]`."""
    for op in graph.operators:
        op.inputs, op.outputs = _renumbered(op.inputs, indices), _renumbered(op.outputs, indices)
    graph.inputs, graph.outputs = _renumbered(graph.inputs, indices), _renumbered(graph.outputs, indices)
    for end in (*signature.inputs, *signature.outputs):
        end.tensorIndex = int(indices[end.tensorIndex])


def _renumbered(old: Sequence[int], indices: NDArray[np.int32]) -> NDArray[np.int32]:
    """The new tensor indices; -1 marks an optional input left out and stays."""
    numbers = np.asarray(old, np.int32)
    return np.where(numbers < 0, numbers, indices[numbers]).astype(np.int32)


class _AlignedBufferT(schema.BufferT):
    """A buffer whose bytes start at a multiple of 16, as the schema asks and Python's generated code forgets."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 the generated name
        if self.data is None:
            return int(super().Pack(builder))
        content = np.asarray(self.data, np.uint8).tobytes()
        builder.StartVector(1, len(content), 16)
        builder.head = builder.Head() - len(content)
        builder.Bytes[builder.Head() : builder.Head() + len(content)] = content
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))
