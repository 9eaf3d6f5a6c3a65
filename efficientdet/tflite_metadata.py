"""TFLite metadata (schema M001): what MediaPipe and the Task API must be told, and the files packed behind a model.

The field numbers follow tensorflow/lite/support/metadata/metadata_schema.fbs.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.tflite_flatbuffer import order_outputs, pack_model

METADATA_NAME = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
MIN_PARSER_VERSION = "1.2.0"
"""The first metadata parser that knows output tensor groups."""

# enums of the schema
_RGB, _BOUNDARIES, _RATIO, _VALUE_LABELS = 1, 1, 0, 3
_FEATURE, _IMAGE, _BOX = 1, 2, 3
_NORMALIZATION = 1

# per output of the signature: the name MediaPipe looks for, and a description
ROLES = {
    "detection_boxes": ("location", "Boxes: ymin, xmin, ymax, xmax as fractions of the input."),
    "detection_classes": ("category", "Classes of the boxes, as lines of labels.txt from 0."),
    "detection_scores": ("score", "Scores of the boxes, 0 to 1, falling."),
    "num_detections": ("number of detections", "How many boxes are valid; the rest is undefined."),
}


def pack_with_metadata(model: schema.ModelT, config: Config, label_map: LabelMap, numbers: str = "int8") -> bytes:
    """The file of a detector: metadata inside, and labels.txt, config.yaml and label_map.json zipped behind.

    The outputs are put into the order of `ROLES`, by position and by tensor index, which clients
    without signatures go by. `numbers` says for the reader what the network computes in.
    """
    order_outputs(model, list(ROLES))
    content = schema.BufferT()
    content.data = np.frombuffer(_model_metadata(config, label_map, numbers), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
    model.buffers.append(content)
    model.metadata = [*(model.metadata or []), entry]
    files = {
        LABELS_FILE: "".join(f"{' '.join(name.split())}\n" for name in label_map.names),
        config_file.FILE_NAME: config.to_yaml(),
        label_map_file.FILE_NAME: label_map.to_json(),
    }
    return _with_files(pack_model(model), files)


def _with_files(flatbuffer: bytes, files: dict[str, str]) -> bytes:
    """The model followed by a zip archive; clients read its entries in place, so they are not compressed."""
    stream = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return stream.getvalue()


def _model_metadata(config: Config, label_map: LabelMap, numbers: str) -> bytes:
    b = flatbuffers.Builder(1024)
    outputs = [_output_tensor(b, role) for role in ROLES]
    group = _table(b, 2, {0: b.CreateString("detection_result"), 1: _strings(b, ("location", "category", "score"))})
    graph = {2: _offsets(b, [_image_tensor(b, config)]), 3: _offsets(b, outputs), 8: _offsets(b, [group])}
    model = {
        0: b.CreateString(config.model.name),
        1: b.CreateString(f"Object detector of {len(label_map)} classes, {numbers}; label map {label_map.hash}."),
        3: _offsets(b, [_table(b, 10, graph)]),
        7: b.CreateString(MIN_PARSER_VERSION),
    }
    b.Finish(_table(b, 8, model), file_identifier=b"M001")
    return bytes(b.Output())


def _image_tensor(b: flatbuffers.Builder, config: Config) -> int:
    """The input: RGB pixels as they are, normalised inside the network."""
    height, width = config.model.input_size
    size = _table(b, 2, {}, uints={0: width, 1: height})
    content = _table(b, 3, {1: _table(b, 2, {1: size}, bytes_={0: _RGB})}, bytes_={0: _IMAGE})
    identity = _table(b, 2, {0: _floats(b, [0.0]), 1: _floats(b, [1.0])})
    unit = _table(b, 2, {1: identity}, bytes_={0: _NORMALIZATION})
    fields = {
        0: b.CreateString("image"),
        1: b.CreateString("The image, fitted into the top-left corner of the input."),
        3: content,
        4: _offsets(b, [unit]),
        5: _table(b, 2, {0: _floats(b, [255.0]), 1: _floats(b, [0.0])}),
    }
    return _table(b, 7, fields)


def _output_tensor(b: flatbuffers.Builder, output: str) -> int:
    name, description = ROLES[output]
    fields = {0: b.CreateString(name), 1: b.CreateString(description), 5: _table(b, 2, {})}
    if name == "location":
        # position of left, top, right, bottom in a box
        box = _table(b, 3, {0: _uints(b, [1, 0, 3, 2])}, bytes_={1: _BOUNDARIES, 2: _RATIO})
        content = {1: box, 2: _value_range(b)}
        fields[3] = _table(b, 3, content, bytes_={0: _BOX})
    else:
        content = {1: _table(b, 0, {})} | ({2: _value_range(b)} if name != "number of detections" else {})
        fields[3] = _table(b, 3, content, bytes_={0: _FEATURE})
    if name == "category":
        labels = {0: b.CreateString(LABELS_FILE), 1: b.CreateString("Class names, one a line.")}
        fields[6] = _offsets(b, [_table(b, 5, labels, bytes_={2: _VALUE_LABELS})])
    return _table(b, 7, fields)


def _value_range(b: flatbuffers.Builder) -> int:
    """The content varies along dimension 2 of the tensor, the detections."""
    return _table(b, 2, {}, uints={0: 2, 1: 2})


def _table(
    b: flatbuffers.Builder,
    slots: int,
    offsets: dict[int, int],
    bytes_: dict[int, int] | None = None,
    uints: dict[int, int] | None = None,
) -> int:
    """A flatbuffer table: by field number, offsets of finished parts, bytes and 32-bit numbers."""
    b.StartObject(slots)
    for slot, value in offsets.items():
        b.PrependUOffsetTRelativeSlot(slot, value, 0)
    for slot, value in (uints or {}).items():
        b.PrependUint32Slot(slot, value, 0)
    for slot, value in (bytes_ or {}).items():
        b.PrependUint8Slot(slot, value, 0)
    return int(b.EndObject())


def _offsets(b: flatbuffers.Builder, parts: Sequence[int]) -> int:
    b.StartVector(4, len(parts), 4)
    for part in reversed(parts):
        b.PrependUOffsetTRelative(part)
    return int(b.EndVector())


def _strings(b: flatbuffers.Builder, texts: Sequence[str]) -> int:
    return _offsets(b, [b.CreateString(text) for text in texts])


def _floats(b: flatbuffers.Builder, values: Sequence[float]) -> int:
    return int(b.CreateNumpyVector(np.asarray(values, np.float32)))


def _uints(b: flatbuffers.Builder, values: Sequence[int]) -> int:
    return int(b.CreateNumpyVector(np.asarray(values, np.uint32)))
