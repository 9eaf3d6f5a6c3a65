"""The frozen graph: network and weights in one GraphDef, under the names that google/automl's programs go by."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from efficientdet.atomic_file import write_file
from efficientdet.bare_network import BareNetwork, Network
from efficientdet.config import FILE_NAME as CONFIG_FILE
from efficientdet.config import Config
from efficientdet.frozen_graph import ABOUT, rename_functions
from efficientdet.label_map import FILE_NAME as LABEL_MAP_FILE
from efficientdet.label_map import LabelMap
from efficientdet.saved_model import ServingDetector

INPUT = "images"
ALIAS = "image_arrays"
"""The input of google/automl's first programs; either may be fed."""
ROWS = "detections"
"""Their output: `[b, m, 7]` image of the batch, ymin, xmin, ymax, xmax, score, class; score 0 beyond the last."""
BOXES, SCORES, CLASSES, COUNT = "detection_boxes", "detection_scores", "detection_classes", "num_detections"


def export_frozen_graph(model: Network, config: Config, label_map: LabelMap, path: str | Path) -> None:
    """Writes the detector as a frozen graph (.pb), which appears complete or not at all.

    Fed is `images` or `image_arrays`, uint8 `[b, h, w, 3]`, or what `BareNetwork` takes with `export.pre_mode` none.
    Fetched are the outputs of `export_saved_model` by name, and for detections also `detections` as `ROWS` says and
    `Identity` to `Identity_3`: boxes, scores, classes as float32, and the count. Constants that nothing is connected to
    hold config, label map and its hash, see `efficientdet.frozen_graph.read_described`.

    Args:
      model: the network of `build_detector`.
      config: its config; `nms`, `export.pre_mode` and `export.post_mode` are fixed in the graph.
      label_map: its classes.
      path: the file to write.
    """
    graph = _Graph(model, config, len(label_map))
    # Loops stay functions, which TensorFlow can import into a graph of any kind. The public function around these two
    # also enters them into the process, under names that the loops of any second graph bear too, and fails there.
    variables = convert_to_constants._FunctionConverterDataInEager(
        func=graph.run.get_concrete_function(), lower_control_flow=False, aggressive_inlining=False
    )
    frozen, _ = convert_to_constants._replace_variables_by_constants(converter_data=variables)
    rename_functions(frozen)
    _describe(frozen, config, label_map)
    write_file(path, frozen.SerializeToString(deterministic=True))


def _describe(graph_def: tf.compat.v1.GraphDef, config: Config, label_map: LabelMap) -> None:
    """Adds the constants that say what the graph is."""
    about = {CONFIG_FILE: config.to_yaml(), LABEL_MAP_FILE: label_map.to_json(), "label_map_hash": label_map.hash}
    for name, text in about.items():
        node = graph_def.node.add(name=f"{ABOUT}/{name}", op="Const")
        node.attr["dtype"].type = tf.string.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text))


class _Graph(tf.Module):
    """What is frozen; the names of its operations are those that clients ask for."""

    def __init__(self, model: Network, config: Config, num_classes: int) -> None:
        super().__init__()
        if config.export.pre_mode is None:
            bare = BareNetwork(model, config, num_classes)
            self.held, answer = bare, bare.run
        else:
            serving = ServingDetector(model, config, num_classes, raw=config.export.post_mode is None)
            self.held, answer = serving, serving.detect_images
        [spec] = answer.input_signature

        def run(images: tf.Tensor) -> list[tf.Tensor]:
            found = answer(tf.identity(images, name=ALIAS))
            named = {name: tf.identity(values, name=name) for name, values in found.items()}
            return _as_google(named) if BOXES in named else list(named.values())

        self.run = tf.function(
            run, input_signature=[tf.TensorSpec(spec.shape, spec.dtype, name=INPUT)], autograph=False
        )


def _as_google(found: dict[str, tf.Tensor]) -> list[tf.Tensor]:
    """The outputs of google/automl's Keras networks in their order, then those of its first ones."""
    boxes, scores, count = found[BOXES], found[SCORES], found[COUNT]
    classes = tf.cast(found[CLASSES], tf.float32)
    image = tf.broadcast_to(tf.range(tf.shape(scores)[0])[:, None], tf.shape(scores))
    rows = tf.stack([tf.cast(image, tf.float32), *tf.unstack(boxes, axis=-1), scores, classes], axis=-1)
    return [boxes, scores, classes, count, tf.identity(rows, name=ROWS)]
