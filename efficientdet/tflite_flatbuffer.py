"""A TFLite model as objects that can be edited, and back to bytes."""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

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
