"""Thresholds for a TFLite file that is there already, such as those that its evaluation found best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from efficientdet.atomic_file import write_file
from efficientdet.errors import ModelError
from efficientdet.tflite_detector import read_packed
from efficientdet.tflite_flatbuffer import tensors_by_name, unpack_model
from efficientdet.tflite_metadata import pack_with_metadata


def set_score_thresholds(model: str | Path, thresholds: Mapping[str, float], output: str | Path) -> None:
    """Writes a copy of a TFLite file of ours whose clients drop detections that score below their class's threshold.

    Args:
      model: the file, which may have thresholds already.
      thresholds: 0 to 1, by class name; a class that is left out keeps `nms.score_threshold`. None at all takes
        thresholds away.
      output: the file to write, which appears complete or not at all; it may be `model`.

    The network and its answers are the same: it is the client that drops them, as MediaPipe and the Task API do.
    Raises ModelError when `model` is not ours or has no post-processing, or a threshold is of no class or not
    from 0 to 1.
    """
    model, output = Path(model), Path(output)
    config, label_map = read_packed(model)
    network = unpack_model(model.read_bytes())
    if "detection_scores" not in tensors_by_name(network.signatureDefs[0].outputs):
        raise ModelError(f"{model}: has no post-processing, so its clients see no scores; give a file that has")
    content = pack_with_metadata(network, config, label_map, None, thresholds)
    write_file(output, content)
