"""The float SavedModel: pictures in, detections in pixels of the original picture out, nothing to do around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.anchors import anchors_for
from efficientdet.bundle import ASSETS_FOLDER as ASSETS_FOLDER
from efficientdet.config import Config
from efficientdet.data.input_pipeline import decode_image
from efficientdet.label_map import LabelMap
from efficientdet.letterbox import letterbox
from efficientdet.model.detector import normalise
from efficientdet.model.postprocess import postprocess

BYTES_SIGNATURE = "serving_default"
IMAGES_SIGNATURE = "images"
CHUNK = 8
"""Images that pass the network together; a larger request is cut, so that its memory stays bounded."""


def export_saved_model(model: keras.Model, config: Config, label_map: LabelMap, folder: str | Path) -> None:
    """Writes the detector as a SavedModel that `tf.saved_model.load` reads without any code of ours.

    Args:
      model: the network of `build_detector`.
      config: its config; `nms` is fixed in the graph.
      label_map: its classes; both are also stored in `assets.extra`.
      folder: the folder to write.

    Signatures, each for any batch size b, with m = nms.max_detections:
      serving_default: `image_bytes` string `[b]`, encoded JPEG, PNG, GIF (first frame) or BMP of any sizes.
      images: `images` uint8 `[b, h, w, 3]` RGB of one size.
    Both answer detection_boxes `[b, m, 4]` float32 yxyx in pixels of the original image and clipped to it,
    detection_scores `[b, m]` float32 falling, detection_classes `[b, m]` int32 from 1, and num_detections
    `[b]` int32; slots beyond the number are zero.
    """
    detector = _ServingDetector(model, config, len(label_map))
    signatures = {BYTES_SIGNATURE: detector.detect_bytes, IMAGES_SIGNATURE: detector.detect_images}
    tf.saved_model.save(detector, str(folder), signatures=signatures)
    assets = Path(folder) / ASSETS_FOLDER
    assets.mkdir()
    (assets / config_file.FILE_NAME).write_text(config.to_yaml(), encoding="utf-8")
    (assets / label_map_file.FILE_NAME).write_text(label_map.to_json(), encoding="utf-8")


class _ServingDetector(tf.Module):
    """The network between letterbox and suppression."""

    def __init__(self, model: keras.Model, config: Config, num_classes: int) -> None:
        super().__init__()
        self.held = [variable.value for variable in model.variables]
        self._size, self._pad = config.model.input_size, config.model.architecture.mean
        self._slots = config.nms.max_detections
        anchors, nms, size = anchors_for(config).boxes, config.nms.to_dict(), self._size

        def detect_canvases(canvases: tf.Tensor) -> tuple[tf.Tensor, ...]:
            raw = model(normalise(canvases, config), training=False)
            return postprocess(raw, anchors, num_classes, image_size=size, **nms)

        # a function of its own, so that both signatures share one copy of the network
        self.detect_canvases = _graph(detect_canvases, tf.TensorSpec([None, *size, 3]))
        self.detect_bytes = _graph(self._detect_bytes, tf.TensorSpec([None], tf.string, name="image_bytes"))
        self.detect_images = _graph(self._detect_images, tf.TensorSpec([None, None, None, 3], tf.uint8, name="images"))

    def _detect_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Detections of encoded images `[b]`."""
        return self._detect(tf.shape(image_bytes)[0], lambda i: decode_image(image_bytes[i]))

    def _detect_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Detections of a uint8 batch `[b, h, w, 3]`."""
        return self._detect(tf.shape(images)[0], lambda i: images[i])

    def _detect(self, count: tf.Tensor, image: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, tf.Tensor]:
        """Detections of `image(0)` to `image(count - 1)`, each `[h, w, 3]` uint8, in chunks."""
        outputs = {
            "detection_boxes": (tf.float32, (None, self._slots, 4)),
            "detection_scores": (tf.float32, (None, self._slots)),
            "detection_classes": (tf.int32, (None, self._slots)),
            "num_detections": (tf.int32, (None,)),
        }
        chunks = -(-count // CHUNK)
        parts = [tf.TensorArray(t, chunks, infer_shape=False, element_shape=s) for t, s in outputs.values()]

        def one_chunk(chunk: tf.Tensor, *parts: tf.TensorArray) -> tuple:
            members = tf.range(chunk * CHUNK, tf.minimum(count, (chunk + 1) * CHUNK))
            found = self._detect_chunk(members, image)
            return (chunk + 1, *(part.write(chunk, value) for part, value in zip(parts, found, strict=True)))

        # one chunk at a time: running them side by side would undo the bound on memory
        _, *parts = tf.while_loop(lambda chunk, *_: chunk < chunks, one_chunk, (0, *parts), parallel_iterations=1)
        return {name: part.concat() for name, part in zip(outputs, parts, strict=True)}

    def _detect_chunk(self, members: tf.Tensor, image: Callable[[tf.Tensor], tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Boxes, scores, classes and counts of the images numbered `members` `[n]`."""

        def boxed(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            picture = image(i)
            canvas, scale = letterbox(picture, self._size, self._pad)
            return canvas, scale, tf.cast(tf.shape(picture)[:2], tf.float32)

        specs = (tf.TensorSpec([*self._size, 3]), tf.TensorSpec([]), tf.TensorSpec([2]))
        canvases, scales, originals = tf.map_fn(boxed, members, fn_output_signature=specs)
        boxes, scores, classes, count = self.detect_canvases(canvases)
        limits = tf.tile(originals, [1, 2])[:, None]
        return tf.minimum(boxes / scales[:, None, None], limits), scores, classes, count


def _graph(function: Callable, spec: tf.TensorSpec) -> tf.types.experimental.GenericFunction:
    return tf.function(function, input_signature=[spec], autograph=False)
