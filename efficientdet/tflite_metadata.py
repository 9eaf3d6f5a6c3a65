"""The TFLite file that clients take as it is: metadata inside, and files packed behind the model."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.raw_names import ANCHORS_FILE, CLASS_LOGITS
from efficientdet.score_calibration import calibration_text
from efficientdet.tflite_flatbuffer import order_outputs, pack_model, tensors_by_name
from efficientdet.tflite_metadata_tables import (
    CALIBRATION_FILE,
    LABELS_FILE,
    ROLES,
    Facts,
    detector_metadata,
    raw_metadata,
)

METADATA_NAME = "TFLITE_METADATA"


def pack_with_metadata(
    model: schema.ModelT,
    config: Config,
    label_map: LabelMap,
    numbers: str | None = "int8",
    score_thresholds: Mapping[str, float] | None = None,
) -> bytes:
    """The file of a detector: metadata inside, and labels.txt, config.yaml and label_map.json zipped behind.

    The outputs are put into the order of `ROLES`, by position and by tensor index, which clients
    without signatures go by. Metadata that the model has already are replaced.

    Args:
      numbers: what the network computes in, for the reader; None: what the model says already.
      score_thresholds: by class name, the score below which clients drop a detection; a class that is left out
        keeps `nms.score_threshold`. They are packed as `score_calibration.txt`, which MediaPipe and the Task
        API apply themselves.

    Raises:
      ModelError: a threshold is of no class, or is not from 0 to 1.
    """
    order_outputs(model, list(ROLES))
    if numbers is not None:
        model.description = f"Object detector of {len(label_map)} classes, {numbers}; label map {label_map.hash}."
    thresholds = score_thresholds or {}
    files = _texts(config, label_map)
    if thresholds:
        files[CALIBRATION_FILE] = calibration_text(label_map, thresholds)
    least = max(config.nms.score_threshold, min(thresholds.get(name, 0.0) for name in label_map.names))
    facts = Facts(config, _text(model.description), least, calibrated=bool(thresholds))
    return _pack(model, detector_metadata(facts), files)


def pack_raw_with_metadata(
    model: schema.ModelT, config: Config, label_map: LabelMap, numbers: str, anchor_boxes: NDArray[np.float32]
) -> bytes:
    """The same of a file without post-processing, which also carries its anchors `[A, 4]` as `ANCHORS_FILE`.

    The outputs are named as `efficientdet.raw_names` does, first the class logits of every level, then the box deltas.
    """
    [signature] = model.signatureDefs
    names = sorted(tensors_by_name(signature.outputs), key=lambda name: (not name.startswith(CLASS_LOGITS), name))
    order_outputs(model, names)
    anchors = io.BytesIO()
    np.save(anchors, anchor_boxes)
    model.description = (
        f"Object detector of {len(label_map)} classes, {numbers}, without post-processing; its anchors are in "
        f"{ANCHORS_FILE}; label map {label_map.hash}."
    )
    metadata = raw_metadata(Facts(config, model.description), names)
    return _pack(model, metadata, _texts(config, label_map) | {ANCHORS_FILE: anchors.getvalue()})


def _pack(model: schema.ModelT, metadata: bytes, files: dict[str, str | bytes]) -> bytes:
    content = schema.BufferT()
    content.data = np.frombuffer(metadata, np.uint8)
    earlier = [entry.buffer for entry in model.metadata or [] if _text(entry.name) == METADATA_NAME]
    if earlier:
        model.buffers[earlier[0]] = content
    else:
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
        model.buffers.append(content)
        model.metadata = [*(model.metadata or []), entry]
    return _with_files(pack_model(model), files)


def _text(value: str | bytes) -> str:
    """Strings are bytes in what was unpacked."""
    return value.decode() if isinstance(value, bytes) else value


def _texts(config: Config, label_map: LabelMap) -> dict[str, str | bytes]:
    """What every file carries."""
    return {
        LABELS_FILE: "".join(f"{' '.join(name.split())}\n" for name in label_map.names),
        config_file.FILE_NAME: config.to_yaml(),
        label_map_file.FILE_NAME: label_map.to_json(),
    }


def _with_files(flatbuffer: bytes, files: dict[str, str | bytes]) -> bytes:
    """The model followed by a zip archive; clients read its entries in place, so they are not compressed."""
    stream = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()
