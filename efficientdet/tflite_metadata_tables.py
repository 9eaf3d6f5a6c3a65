"""What the metadata of a TFLite file say (schema M001), as MediaPipe and the Task API read them.

The field numbers follow tensorflow/lite/support/metadata/metadata_schema.fbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import flatbuffers

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.config import Config
from efficientdet.flatbuffer_table import floats, offsets, strings, table, uints
from efficientdet.raw_names import CLASS_LOGITS

LABELS_FILE = "labels.txt"
CALIBRATION_FILE = "score_calibration.txt"
MIN_PARSER_VERSION = "1.2.0"
"""The first metadata parser that knows output tensor groups."""

# enums of the schema
_RGB, _BOUNDARIES, _RATIO = 1, 1, 0
_DESCRIPTIONS, _VALUE_LABELS, _CALIBRATION = 1, 3, 4
_FEATURE, _IMAGE, _BOX = 1, 2, 3
_NORMALIZATION, _SCORE_CALIBRATION, _SCORE_THRESHOLDING = 1, 2, 3
_INVERSE_LOGISTIC = 2

# per output of the signature: the name MediaPipe looks for, and a description
ROLES = {
    "detection_boxes": ("location", "Boxes: ymin, xmin, ymax, xmax as fractions of the input, clipped to it."),
    "detection_classes": ("category", "Classes of the boxes, as lines of labels.txt from 0."),
    "detection_scores": ("score", "Scores of the boxes, 0 to 1, falling."),
    "num_detections": ("number of detections", "How many boxes are valid; the rest is undefined."),
}


class Facts(NamedTuple):
    """What the metadata say of one model.

    Attributes:
      config: its settings.
      description: a sentence on it.
      score_threshold: clients drop detections that score less.
      calibrated: CALIBRATION_FILE is packed behind the model.
    """

    config: Config
    description: str
    score_threshold: float = 0.0
    calibrated: bool = False


def detector_metadata(facts: Facts) -> bytes:
    """The metadata of a file with post-processing."""
    b = flatbuffers.Builder(1024)
    outputs = [_output_tensor(b, role, facts) for role in ROLES]
    group = table(b, 2, {0: b.CreateString("detection_result"), 1: strings(b, ("location", "category", "score"))})
    graph = {2: offsets(b, [_image_tensor(b, facts.config)]), 3: offsets(b, outputs), 8: offsets(b, [group])}
    return _finish(b, facts, graph)


def raw_metadata(facts: Facts, names: Sequence[str]) -> bytes:
    """The metadata of a file without post-processing, whose outputs have these names."""
    b = flatbuffers.Builder(1024)
    outputs = [_raw_tensor(b, name) for name in names]
    return _finish(b, facts, {2: offsets(b, [_image_tensor(b, facts.config)]), 3: offsets(b, outputs)})


def _finish(b: flatbuffers.Builder, facts: Facts, graph: dict[int, int]) -> bytes:
    files = [
        _file(b, config_file.FILE_NAME, "The settings that the model was trained and exported with.", _DESCRIPTIONS),
        _file(b, label_map_file.FILE_NAME, "Class ids, names and the data set's category ids.", _DESCRIPTIONS),
    ]
    model = {
        0: b.CreateString(facts.config.model.name),
        1: b.CreateString(facts.description),
        3: offsets(b, [table(b, 10, graph)]),
        6: offsets(b, files),
        7: b.CreateString(MIN_PARSER_VERSION),
    }
    b.Finish(table(b, 8, model), file_identifier=b"M001")
    return bytes(b.Output())


def _image_tensor(b: flatbuffers.Builder, config: Config) -> int:
    """The input: RGB pixels as they are, normalised inside the network."""
    height, width = config.model.input_size
    size = table(b, 2, {}, integers={0: width, 1: height})
    content = table(b, 3, {1: table(b, 2, {1: size}, bytes_={0: _RGB})}, bytes_={0: _IMAGE})
    identity = table(b, 2, {0: floats(b, [0.0]), 1: floats(b, [1.0])})
    colour = ", ".join(str(round(channel)) for channel in config.model.architecture.mean)
    text = (
        f"RGB pixels 0 to 255: the image, resized to {width} x {height} without changing its aspect ratio, "
        f"in the top-left corner; the rest has the colour ({colour})."
    )
    fields = {
        0: b.CreateString("image"),
        1: b.CreateString(text),
        3: content,
        4: offsets(b, [table(b, 2, {1: identity}, bytes_={0: _NORMALIZATION})]),
        5: table(b, 2, {0: floats(b, [255.0]), 1: floats(b, [0.0])}),
    }
    return table(b, 7, fields)


def _output_tensor(b: flatbuffers.Builder, output: str, facts: Facts) -> int:
    name, description = ROLES[output]
    fields = {0: b.CreateString(name), 1: b.CreateString(description), 5: table(b, 2, {})}
    if name == "location":
        # position of left, top, right, bottom in a box
        box = table(b, 3, {0: uints(b, [1, 0, 3, 2])}, bytes_={1: _BOUNDARIES, 2: _RATIO})
        content = {1: box, 2: _value_range(b)}
        fields[3] = table(b, 3, content, bytes_={0: _BOX})
    else:
        content = {1: table(b, 0, {})} | ({2: _value_range(b)} if name != "number of detections" else {})
        fields[3] = table(b, 3, content, bytes_={0: _FEATURE})
    if name == "category":
        fields[6] = offsets(b, [_file(b, LABELS_FILE, "Class names, one a line.", _VALUE_LABELS)])
    if name == "score":
        fields |= _score_processing(b, facts)
    return table(b, 7, fields)


def _raw_tensor(b: flatbuffers.Builder, name: str) -> int:
    what = "Logits of the classes" if name.startswith(CLASS_LOGITS) else "Offsets ty, tx, th, tw"
    fields = {
        0: b.CreateString(name),
        1: b.CreateString(f"{what} of every anchor, cell by cell, on one level of the pyramid."),
        3: table(b, 3, {1: table(b, 0, {})}, bytes_={0: _FEATURE}),
        5: table(b, 2, {}),
    }
    return table(b, 7, fields)


def _score_processing(b: flatbuffers.Builder, facts: Facts) -> dict[int, int]:
    """The fields of the score tensor that say which detections clients shall drop."""
    least = table(b, 1, {}, reals={0: facts.score_threshold})
    units = [table(b, 2, {1: least}, bytes_={0: _SCORE_THRESHOLDING})]
    if not facts.calibrated:
        return {4: offsets(b, units)}
    options = table(b, 2, {}, bytes_={0: _INVERSE_LOGISTIC}, reals={1: 0.0})
    units.append(table(b, 2, {1: options}, bytes_={0: _SCORE_CALIBRATION}))
    text = "Per class: scale, slope and offset of a calibration that changes no score, and the least score."
    return {4: offsets(b, units), 6: offsets(b, [_file(b, CALIBRATION_FILE, text, _CALIBRATION)])}


def _file(b: flatbuffers.Builder, name: str, description: str, kind: int) -> int:
    """An associated file."""
    return table(b, 5, {0: b.CreateString(name), 1: b.CreateString(description)}, bytes_={2: kind})


def _value_range(b: flatbuffers.Builder) -> int:
    """The content varies along dimension 2 of the tensor, the detections."""
    return table(b, 2, {}, integers={0: 2, 1: 2})
