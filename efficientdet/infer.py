"""Detection with an exported int8 TFLite file: LiteRT, numpy and Pillow, no TensorFlow.

A picture is read as it is stored, as in training: an EXIF orientation is not applied, and the boxes
are pixels of the stored image. Transparency is dropped, an animation is its first frame.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.boxes import clip
from efficientdet.config import Config
from efficientdet.detections import Detections, Found, to_records
from efficientdet.errors import DataError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.letterbox_numpy import letterbox
from efficientdet.visualize import draw

SIGNATURE = "serving_default"
DETECTIONS_FILE = "detections.json"
PICTURES_FOLDER = "pictures"
MAX_THREADS = 16
"""Beyond it the file's post-processing would lose a class, see `efficientdet.tflite.SPARE_CLASSES`."""
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


class TFLiteDetector:
    """A detector read from one TFLite file of ours, which carries its own config and label map.

    Raises ModelError when the file is missing, damaged, or was not written by this product.
    """

    def __init__(self, path: str | Path, num_threads: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        path = Path(path)
        self.config, self.label_map = read_packed(path)
        try:
            threads = min(num_threads or min(4, os.cpu_count() or 1), MAX_THREADS)
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
            self._run = self._interpreter.get_signature_runner(SIGNATURE)
            self._pixels = self._interpreter.get_input_details()[0]["dtype"]
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"{path}: LiteRT cannot run it ({reason}); export or pull the model again") from error

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network input in pixels."""
        return self.config.model.input_size

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> Detections:
        """Detections of b RGB images `[h, w, 3]` uint8 of any sizes, boxes in pixels of each image."""
        return Detections.of(map(self._detect, images), self.config.nms.max_detections)

    def _detect(self, image: NDArray[np.uint8]) -> Found:
        """Boxes `[n, 4]` yxyx pixels of `image`, scores `[n]`, class ids `[n]` from 1."""
        canvas, scale = letterbox(image, self.input_size, self.config.model.architecture.mean)
        raw = self._run(images=canvas[None].astype(self._pixels))
        # slots beyond the count hold uninitialised memory
        n = int(raw["num_detections"][0])
        boxes = raw["detection_boxes"][0, :n] * np.tile(np.asarray(self.input_size, np.float32), 2) / scale
        classes = raw["detection_classes"][0, :n].astype(np.int32) + 1
        return clip(boxes, *image.shape[:2]), raw["detection_scores"][0, :n], classes


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


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """The picture as `[h, w, 3]` uint8 RGB; raises DataError when it cannot be decoded whole."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except Exception as error:  # Pillow's decoders raise whatever their format's parser meets
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not a readable image ({reason}); replace or remove it") from error


@dataclass(frozen=True)
class InferSummary:
    """What `run_infer` did: images read, detections written, and per unreadable file its reason."""

    images: int
    detections: int
    unreadable: dict[str, str]
    detections_file: Path
    pictures: Path


def run_infer(model: Path, input: Path, output: Path, score_threshold: float = 0.3) -> InferSummary:
    """Detects in one image or in every image below a folder.

    Writes `output/detections.json` and one picture with boxes per image, under its own relative name, in
    `output/pictures`. An image that cannot be read is listed and does not stop the others. Raises ModelError
    for a bad model and DataError when there is no image at all.
    """
    pictures = Path(output) / PICTURES_FOLDER
    paths = find_images(Path(input), leave_out=pictures)
    root = Path(input) if Path(input).is_dir() else Path(input).parent
    detector = TFLiteDetector(model)
    images, unreadable = [], {}
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            images.append(_detect_file(detector, path, name, pictures, score_threshold))
        except DataError as error:
            unreadable[name] = str(error)
    answer = {
        "model": {"file": str(model), "architecture": detector.config.model.name, "labels": detector.label_map.hash},
        "score_threshold": score_threshold,
        "images": images,
        "unreadable": [{"file": name, "reason": reason} for name, reason in unreadable.items()],
    }
    file = _write_json(Path(output) / DETECTIONS_FILE, answer)
    total = sum(len(image["detections"]) for image in images)
    return InferSummary(len(images), total, unreadable, file, pictures)


def find_images(path: Path, leave_out: Path) -> list[Path]:
    """`path` itself, or every image file below that folder in sorted order, except those in `leave_out`."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: there is no such file or folder; give an image or a folder of images")
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    found = [p for p in found if leave_out.resolve() not in p.resolve().parents]
    if not found:
        raise DataError(f"{path}: holds no image; looked for files ending in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return found


def _detect_file(
    detector: TFLiteDetector, path: Path, name: str, pictures: Path, score_threshold: float
) -> dict[str, Any]:
    """The JSON entry of one image; its picture is written on the way."""
    image = read_image(path)
    found = detector([image]).above(score_threshold)
    [(boxes, scores, classes)] = found
    names = [detector.label_map[int(c)].name for c in classes]
    target = pictures / (name if path.suffix.lower() in (".jpg", ".jpeg", ".png") else f"{name}.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    draw(image, boxes, names, scores, classes).save(target, quality=95)
    [records] = to_records(found, detector.label_map)
    return {"file": name, "height": image.shape[0], "width": image.shape[1], "detections": records}


def _write_json(path: Path, content: dict[str, Any]) -> Path:
    aside = path.with_name(f".{path.name}")
    aside.parent.mkdir(parents=True, exist_ok=True)
    aside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return aside.replace(path)
