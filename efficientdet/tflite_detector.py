"""Detection with an exported TFLite file: LiteRT and numpy, no TensorFlow."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.boxes import clip
from efficientdet.config import Config
from efficientdet.detections import Detections, Found
from efficientdet.errors import ModelError
from efficientdet.label_map import LabelMap
from efficientdet.letterbox_numpy import letterbox
from efficientdet.postprocess_numpy import postprocess
from efficientdet.raw_names import ANCHORS_FILE, by_level

SIGNATURE = "serving_default"
MAX_THREADS = 16
"""Beyond it the file's post-processing would lose a class, see `efficientdet.tflite_tail.SPARE_CLASSES`."""


class TFLiteDetector:
    """A detector read from one TFLite file of ours, which carries its own config and label map.

    What a file without post-processing leaves out is done here, as its config says.

    Attributes:
      config, label_map: those of the file.
      threads: that its interpreter has.

    Raises ModelError when the file is missing, damaged, or was not written by this product.
    """

    def __init__(self, path: str | Path, num_threads: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        path = Path(path)
        self.config, self.label_map = read_packed(path)
        self._anchors = read_anchors(path)
        try:
            self.threads = min(num_threads or min(4, os.cpu_count() or 1), MAX_THREADS)
            self._interpreter = Interpreter(model_path=str(path), num_threads=self.threads)
            self._interpreter.allocate_tensors()
            self._run = self._interpreter.get_signature_runner(SIGNATURE)
            self._pixels = self._interpreter.get_input_details()[0]["dtype"]
            self._scales = _scales(self._run.get_output_details())
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"{path}: LiteRT cannot run it ({reason}); export or pull the model again") from error

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network input in pixels."""
        return self.config.model.input_size

    @property
    def is_raw(self) -> bool:
        """Whether the file leaves post-processing out."""
        return self._anchors is not None

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> Detections:
        """Detections of b RGB images `[h, w, 3]` uint8 of any sizes, boxes in pixels of each image."""
        return Detections.of(map(self._detect, images), self.config.nms.max_detections)

    def _detect(self, image: NDArray[np.uint8]) -> Found:
        """Boxes `[n, 4]` yxyx pixels of `image`, scores `[n]`, class ids `[n]` from 1."""
        canvas, scale = letterbox(image, self.input_size, self.config.model.architecture.mean)
        raw = self._run(images=canvas[None].astype(self._pixels))
        if self._anchors is not None:
            boxes, scores, classes = self._postprocess(raw, self._anchors)
            return clip(boxes / scale, *image.shape[:2]), scores, classes
        # slots beyond the count hold uninitialised memory
        n = int(raw["num_detections"][0])
        boxes = raw["detection_boxes"][0, :n] * np.tile(np.asarray(self.input_size, np.float32), 2) / scale
        classes = raw["detection_classes"][0, :n].astype(np.int32) + 1
        return clip(boxes, *image.shape[:2]), raw["detection_scores"][0, :n], classes

    def _postprocess(
        self, raw: dict[str, NDArray[Any]], anchors: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The same of raw outputs, boxes in pixels of the network's input."""
        levels = by_level({name: _real(values, *self._scales[name]) for name, values in raw.items()})
        return postprocess(*levels, anchors, len(self.label_map), self.input_size, self.config.nms)


def _scales(outputs: dict[str, dict[str, Any]]) -> dict[str, tuple[float, int]]:
    """Scale and zero point of every output; those of one that is not quantised are 0."""
    return {name: detail["quantization"] for name, detail in outputs.items()}


def _real(values: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.float32]:
    """What quantised values stand for."""
    real = (values.astype(np.float32) - zero_point) * scale if scale else values
    return np.asarray(real, np.float32)


def read_anchors(path: Path) -> NDArray[np.float32] | None:
    """The anchors `[A, 4]` packed behind a TFLite model without post-processing; None of another file.

    Raises ModelError when they are damaged.
    """
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as packed:
            if ANCHORS_FILE not in packed.namelist():
                return None
            return np.asarray(np.load(io.BytesIO(packed.read(ANCHORS_FILE)), allow_pickle=False), np.float32)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ModelError(f"{path}: its {ANCHORS_FILE} cannot be read ({error}); export or pull it again") from error


def read_packed(path: Path) -> tuple[Config, LabelMap]:
    """The config and label map packed behind a TFLite model; ModelError when it has none."""
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file; give the path of an exported .tflite model")
    try:
        with zipfile.ZipFile(path) as packed:
            settings = yaml.safe_load(packed.read(config_file.FILE_NAME))
            labels = packed.read(label_map_file.FILE_NAME).decode()
    except (zipfile.BadZipFile, KeyError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path}: carries no {config_file.FILE_NAME} and {label_map_file.FILE_NAME}, so it is not a TFLite model "
            "of this product or it is cut short; export or pull it again"
        ) from error
    return Config.parse(settings, source=f"{path}:{config_file.FILE_NAME}"), LabelMap.from_json(labels)
