"""A detector in a file of any kind: called on images, it finds objects in their pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from efficientdet.bundle import SAVED_MODEL_FOLDER
from efficientdet.config import FILE_NAME as CONFIG_FILE
from efficientdet.config import Config
from efficientdet.delegate_note import without_delegate_note
from efficientdet.detections import Detections, Found
from efficientdet.errors import ModelError, reason
from efficientdet.label_map import FILE_NAME as LABEL_MAP_FILE
from efficientdet.label_map import LabelMap
from efficientdet.run_folder import WEIGHTS_FILE
from efficientdet.tflite_detector import TFLiteDetector

if TYPE_CHECKING:
    import tensorflow as tf

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
KINDS = "a training run's folder, a SavedModel, a frozen graph (.pb) or a TFLite file"
_PLACES = ("detector", SAVED_MODEL_FOLDER, "saved_model")
"""Where a run's folder, a bundle and a pulled model have theirs."""

Kind = Literal["checkpoint", "saved_model", "frozen_graph", "tflite"]

CALLED: Mapping[Kind, str] = {
    "checkpoint": "a trained detector",
    "saved_model": "a SavedModel",
    "frozen_graph": "a frozen graph",
    "tflite": "a TFLite file",
}
"""What each kind is called in a sentence."""

Signature = Callable[..., "dict[str, tf.Tensor]"]
"""One of a SavedModel, see `efficientdet.saved_model`."""
_threads = ThreadPoolExecutor(CORES)


@dataclass(frozen=True)
class Detector:
    """Finds objects in images, on all cores; several threads may call it at once.

    config, label_map: as it was trained. batch: how many images a call is best given.
    """

    config: Config
    label_map: LabelMap
    batch: int
    _find: Callable[[NDArray[np.uint8]], Found]
    _find_encoded: Callable[[Sequence[bytes]], Detections] | None = None
    _find_alike: Callable[[NDArray[np.uint8]], Detections] | None = None

    def __call__(self, images: Sequence[bytes] | Sequence[NDArray[np.uint8]]) -> Detections:
        """Detections of b images of any sizes, boxes in pixels of each.

        They are a file's bytes each (JPEG, PNG, GIF or BMP), or `[h, w, 3]` uint8 RGB. The bytes are decoded by
        TensorFlow: InvalidArgumentError when they are damaged.
        """
        encoded = [image for image in images if isinstance(image, bytes)]
        if self._find_encoded and len(encoded) == len(images):
            return self._find_encoded(encoded)
        if self._find_alike and not encoded and len({np.shape(image) for image in images}) == 1:
            return self._find_alike(np.stack([np.asarray(image) for image in images]))
        return Detections.of(_threads.map(self._find_one, images), self.config.nms.max_detections)

    def _find_one(self, image: bytes | NDArray[np.uint8]) -> Found:
        return self._find(_decoded(image) if isinstance(image, bytes) else image)


def open_detector(path: str | Path) -> Detector:
    """The detector in `path`.

    That is a folder that `save_detector` or `efficientdet train` wrote, a SavedModel of ours, a bundle or a pulled
    model (then its SavedModel, if it has one), a TFLite file of ours, or a frozen graph as `efficientdet.frozen_graph`
    describes it, ours or one with the `config.yaml` and the `label_map.json` of its network beside it.

    Raises ModelError when there is none, or it is damaged. Only a TFLite file is opened without TensorFlow.
    """
    kind, place = locate(path)
    return _OPENERS[kind](place)


def locate(path: str | Path) -> tuple[Kind, Path]:
    """What kind of detector `path` leads to, and its very file or folder; raises ModelError when there is none."""
    path = Path(path)
    if not path.exists():
        raise ModelError(f"{path}: there is no such file or folder; give {KINDS}")
    if path.is_dir():
        return _locate_in(path)
    if path.suffix == ".h5" or path.name == "saved_model.pb":
        return _locate_in(path.parent)
    kinds: dict[str, Kind] = {".tflite": "tflite", ".pb": "frozen_graph"}
    if path.suffix not in kinds:
        raise ModelError(f"{path}: is no detector; give {KINDS}")
    return kinds[path.suffix], path


def _locate_in(folder: Path) -> tuple[Kind, Path]:
    for place in (folder, *(folder / name for name in _PLACES)):
        if (place / WEIGHTS_FILE).is_file():
            return "checkpoint", place
        if (place / "saved_model.pb").is_file():
            return "saved_model", place
    files = sorted(path for path in folder.iterdir() if path.suffix in (".tflite", ".pb"))
    if len(files) == 1:
        return locate(files[0])
    if files:
        raise ModelError(f"{folder}: holds {', '.join(path.name for path in files)}; name one of them")
    raise ModelError(f"{folder}: holds no {WEIGHTS_FILE}, saved_model.pb, .tflite or .pb; give {KINDS}")


def _open_checkpoint(folder: Path) -> Detector:
    from efficientdet.checkpoint import load_detector

    model, config, label_map = load_detector(folder)
    return keras_detector(model, config, label_map)


def keras_detector(model: Any, config: Config, label_map: LabelMap) -> Detector:
    """The detector that a network of `build_detector` is; it answers with the weights that are there when called."""
    from efficientdet.saved_model import CHUNK, ServingDetector

    serving = ServingDetector(model, config, len(label_map))
    return Detector(config, label_map, CHUNK, *_of_signatures(serving.detect_images, serving.detect_bytes))


def _open_saved_model(folder: Path) -> Detector:
    import tensorflow as tf

    from efficientdet.saved_model import ASSETS_FOLDER, BYTES_SIGNATURE, CHUNK, IMAGES_SIGNATURE

    config, label_map = described(folder / ASSETS_FOLDER, folder)
    check_finds_objects(config, folder)
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        raise ModelError(f"{folder}: TensorFlow cannot load it ({reason(error)}); export the model again") from error

    def signature(name: str) -> Signature:
        return lambda **fed: loaded.signatures[name](**fed)  # which alone would not keep its variables alive

    functions = _of_signatures(signature(IMAGES_SIGNATURE), signature(BYTES_SIGNATURE))
    return Detector(config, label_map, CHUNK, *functions)


def _open_frozen_graph(path: Path) -> Detector:
    from efficientdet.frozen_graph import load_frozen_graph, read_described

    config, label_map = read_described(path) or described(path.parent, path)
    check_finds_objects(config, path)
    return Detector(config, label_map, 4 * CORES, load_frozen_graph(path))


def _open_tflite(path: Path) -> Detector:
    free: SimpleQueue[TFLiteDetector] = SimpleQueue()
    # An interpreter serves one thread at a time. With several of its own its suppression orders equal scores by chance.
    with without_delegate_note():
        interpreters = [TFLiteDetector(path, num_threads=1) for _ in range(CORES)]
    for interpreter in interpreters:
        free.put(interpreter)

    def detect(image: NDArray[np.uint8]) -> Found:
        interpreter = free.get()
        try:
            [found] = interpreter([image])
            return found
        finally:
            free.put(interpreter)

    return Detector(interpreters[0].config, interpreters[0].label_map, 4 * CORES, detect)


def described(place: Path, model: Path) -> tuple[Config, LabelMap]:
    """The config and the label map of a model, in the folder `place`; raises ModelError when one is not there."""
    for name in (CONFIG_FILE, LABEL_MAP_FILE):
        if not (place / name).is_file():
            raise ModelError(f"{model}: its {name} is not in {place}; export the model again, or put it there")
    return Config.load(place / CONFIG_FILE), LabelMap.load(place)


def check_finds_objects(config: Config, model: Path) -> None:
    """Raises ModelError for a model whose config says that it finds nothing in pictures by itself."""
    if not config.export.finds_objects:
        raise ModelError(
            f"{model}: was exported without what comes before or after the network (export.pre_mode, post_mode), so "
            "it finds nothing in pictures by itself; export it with both"
        )


def _of_signatures(
    by_images: Signature, by_bytes: Signature
) -> tuple[
    Callable[[NDArray[np.uint8]], Found],
    Callable[[Sequence[bytes]], Detections],
    Callable[[NDArray[np.uint8]], Detections],
]:
    """What finds objects in an image, in encoded images together, and in images of one size together, with the
    signatures of a SavedModel.
    """
    import tensorflow as tf

    def find_alike(images: NDArray[np.uint8]) -> Detections:
        return _detections(by_images(images=tf.constant(images)))

    def find(image: NDArray[np.uint8]) -> Found:
        [found] = find_alike(image[None])
        return found

    def find_encoded(images: Sequence[bytes]) -> Detections:
        return _detections(by_bytes(image_bytes=tf.constant(images, tf.string, [len(images)])))

    return find, find_encoded, find_alike


def _detections(answer: dict[str, tf.Tensor]) -> Detections:
    names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
    return Detections(*(answer[name].numpy() for name in names))


def _decoded(encoded: bytes) -> NDArray[np.uint8]:
    from efficientdet.data.input_pipeline import decode_image

    return np.asarray(decode_image(encoded))


_OPENERS: dict[Kind, Callable[[Path], Detector]] = {
    "checkpoint": _open_checkpoint,
    "saved_model": _open_saved_model,
    "frozen_graph": _open_frozen_graph,
    "tflite": _open_tflite,
}
