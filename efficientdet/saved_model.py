"""The float SavedModel: pictures in, detections in pixels of the original picture out, nothing to do around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.bare_network import BareNetwork, Network, detections, held, raw_outputs
from efficientdet.bundle import ASSETS_FOLDER as ASSETS_FOLDER
from efficientdet.config import Config
from efficientdet.data.input_pipeline import decode_image
from efficientdet.label_map import LabelMap
from efficientdet.letterbox import letterbox
from efficientdet.model.detector import normalise_rows

BYTES_SIGNATURE = "serving_default"
IMAGES_SIGNATURE = "images"
EXAMPLES_SIGNATURE = "examples"
CHUNK = 8
"""Images that pass the network together; a larger request is cut, so that its memory stays bounded."""
SCALES = "scales"


def export_saved_model(model: Network, config: Config, label_map: LabelMap, folder: str | Path) -> None:
    """Writes the detector as a SavedModel that `tf.saved_model.load` reads without any code of ours.

    Args:
      model: the network of `build_detector`.
      config: its config; `nms` is fixed in the graph, `export.pre_mode` and `post_mode` say what it takes and answers.
      label_map: its classes; both are also stored in `assets.extra`.
      folder: the folder to write.

    Signatures, each for any batch size b, with m = nms.max_detections:
      serving_default: `image_bytes` string `[b]`, encoded JPEG, PNG, GIF (first frame) or BMP of any sizes.
      images: `images` uint8 `[b, h, w, 3]` RGB of one size.
      examples: `examples` string `[b]`, serialised tf.Examples with `image/encoded`.
    All answer detection_boxes `[b, m, 4]` float32 yxyx in pixels of the original image and clipped to it,
    detection_scores `[b, m]` float32 falling, detection_classes `[b, m]` int32 from 1, and num_detections
    `[b]` int32; slots beyond the number are zero. With `post_mode` none they answer raw outputs, and `scales` `[b]`,
    the original image's pixels in one of the network's input. With `pre_mode` none there is `serving_default` alone,
    which takes and answers what `efficientdet.bare_network.BareNetwork` does.
    """
    if config.export.pre_mode is None:
        bare = BareNetwork(model, config, len(label_map))
        tf.saved_model.save(bare, str(folder), signatures=bare.run)
    else:
        serving = ServingDetector(model, config, len(label_map), raw=config.export.post_mode is None)
        tf.saved_model.save(serving, str(folder), signatures=serving.signatures)
    assets = Path(folder) / ASSETS_FOLDER
    assets.mkdir()
    (assets / config_file.FILE_NAME).write_text(config.to_yaml(), encoding="utf-8")
    (assets / label_map_file.FILE_NAME).write_text(label_map.to_json(), encoding="utf-8")


class ServingDetector(tf.Module):
    """The network between letterbox and suppression, or with `raw` nothing but the letterbox.

    `detect_bytes`, `detect_images` and `detect_examples` are the signatures of `export_saved_model` as functions, which
    answer with the weights that the network has when they are called.
    """

    def __init__(self, model: Network, config: Config, num_classes: int, raw: bool = False) -> None:
        super().__init__()
        self.held = held(model)
        self._size, self._pad = config.model.input_size, config.model.architecture.mean

        def detect_canvases(canvases: tf.Tensor) -> dict[str, tf.Tensor]:
            answer = model(normalise_rows(canvases, config), training=False)
            return raw_outputs(answer) if raw else detections(answer, config, num_classes)

        # traced once and for all, so that all signatures share one copy of the network
        self.detect_canvases = _graph(detect_canvases, tf.TensorSpec([None, *self._size, 3])).get_concrete_function()
        answers = self.detect_canvases.structured_outputs
        self._answers = answers | ({SCALES: tf.TensorSpec([None])} if raw else {})
        self.detect_bytes = _graph(self._detect_bytes, tf.TensorSpec([None], tf.string, name="image_bytes"))
        self.detect_images = _graph(self._detect_images, tf.TensorSpec([None, None, None, 3], tf.uint8, name="images"))
        self.detect_examples = _graph(self._detect_examples, tf.TensorSpec([None], tf.string, name="examples"))

    @property
    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """The functions by the names that a SavedModel gives them."""
        return {
            BYTES_SIGNATURE: self.detect_bytes,
            IMAGES_SIGNATURE: self.detect_images,
            EXAMPLES_SIGNATURE: self.detect_examples,
        }

    def _detect_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Detections of encoded images `[b]`."""
        return self._detect(tf.shape(image_bytes)[0], lambda i: decode_image(image_bytes[i]))

    def _detect_images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Detections of a uint8 batch `[b, h, w, 3]`."""
        return self._detect(tf.shape(images)[0], lambda i: images[i])

    def _detect_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Detections of the images in serialised examples `[b]`."""
        parsed = tf.io.parse_example(examples, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})
        return self._detect_bytes(parsed["image/encoded"])

    def _detect(self, count: tf.Tensor, image: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, tf.Tensor]:
        """Detections of `image(0)` to `image(count - 1)`, each `[h, w, 3]` uint8, in chunks."""
        chunks = -(-count // CHUNK)
        parts = [
            tf.TensorArray(spec.dtype, chunks, infer_shape=False, element_shape=spec.shape)
            for spec in self._answers.values()
        ]

        def one_chunk(chunk: tf.Tensor, *parts: tf.TensorArray) -> tuple:
            members = tf.range(chunk * CHUNK, tf.minimum(count, (chunk + 1) * CHUNK))
            found = self._detect_chunk(members, image)
            return (
                chunk + 1,
                *(part.write(chunk, found[name]) for name, part in zip(self._answers, parts, strict=True)),
            )

        # one chunk at a time: running them side by side would undo the bound on memory
        _, *parts = tf.while_loop(lambda chunk, *_: chunk < chunks, one_chunk, (0, *parts), parallel_iterations=1)
        return {name: part.concat() for name, part in zip(self._answers, parts, strict=True)}

    def _detect_chunk(self, members: tf.Tensor, image: Callable[[tf.Tensor], tf.Tensor]) -> dict[str, tf.Tensor]:
        """What is answered for the images numbered `members` `[n]`."""

        def boxed(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            picture = image(i)
            canvas, scale = letterbox(picture, self._size, self._pad)
            return canvas, scale, tf.cast(tf.shape(picture)[:2], tf.float32)

        specs = (tf.TensorSpec([*self._size, 3]), tf.TensorSpec([]), tf.TensorSpec([2]))
        canvases, scales, originals = tf.map_fn(boxed, members, fn_output_signature=specs)
        answer = self.detect_canvases(canvases)
        if SCALES in self._answers:
            return answer | {SCALES: 1 / scales}
        limits = tf.tile(originals, [1, 2])[:, None]
        boxes = tf.minimum(answer["detection_boxes"] / scales[:, None, None], limits)
        return answer | {"detection_boxes": boxes}


def _graph(function: Callable, spec: tf.TensorSpec) -> tf.types.experimental.GenericFunction:
    return tf.function(function, input_signature=[spec], autograph=False)
