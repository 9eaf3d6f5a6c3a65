"""A frozen graph: network and weights in one GraphDef, as google/automl's programs write and read them.

What is fed is one of INPUTS, uint8 `[b, h, w, 3]` RGB, b unknown or 1; what is fetched is the first of OUTPUTS that
the graph has. Boxes are yxyx pixels of the original image, class ids count from 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import yaml
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from efficientdet.config import FILE_NAME as CONFIG_FILE
from efficientdet.config import Config
from efficientdet.detections import Found
from efficientdet.errors import ModelError, reason
from efficientdet.label_map import FILE_NAME as LABEL_MAP_FILE
from efficientdet.label_map import LabelMap

ABOUT = "efficientdet"
"""Before the names of the constants that describe a graph of ours: its config.yaml, label_map.json, label_map_hash."""
INPUTS = ("image_arrays", "images")
OUTPUTS = (
    ("detection_boxes", "detection_scores", "detection_classes", "num_detections"),
    ("detections",),  # `[b, m, 7]`: image, ymin, xmin, ymax, xmax, score, class; beyond the last the score is 0
    ("Identity", "Identity_1", "Identity_2", "Identity_3"),  # those of the first, of google/automl's Keras networks
)


def load_frozen_graph(path: str | Path) -> Callable[[NDArray[np.uint8]], Found]:
    """What the graph finds in an image `[h, w, 3]` uint8, as a function that several threads may call at once.

    Raises ModelError when the file is no frozen graph of a detector.
    """
    run = frozen_function(path)
    return lambda image: _found(*(value.numpy()[0] for value in run(tf.constant(image[None]))))


def frozen_function(path: str | Path) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """The graph from what is fed to what is fetched, in the order of OUTPUTS; raises ModelError."""
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(Path(path).read_bytes())
        rename_functions(graph_def)
        imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
        run: Callable[[tf.Tensor], list[tf.Tensor]] = _prune(imported, path)
        # The first call compiles the graph, and two at once would do so twice.
        run(tf.zeros([1, 8, 8, 3], tf.uint8))
    except (OSError, DecodeError, ValueError, tf.errors.OpError) as error:
        raise ModelError(f"{path}: is no frozen graph that runs ({reason(error)}); export the model again") from error
    return run


def rename_functions(graph_def: tf.compat.v1.GraphDef) -> None:
    """Names every function of the graph after its content: a process holds one of a name, and graphs share such names.

    The converter calls the first loop of any graph `while_body_function_0`.
    """
    suffix = hashlib.sha256(graph_def.SerializeToString(deterministic=True)).hexdigest()[:16]
    functions = graph_def.library.function
    names = {function.signature.name: f"{function.signature.name}_{suffix}" for function in functions}
    for function in functions:
        function.signature.name = names[function.signature.name]
    for node in [*graph_def.node, *(node for function in functions for node in function.node_def)]:
        node.op = names.get(node.op, node.op)
        for attribute in node.attr.values():
            for called in (attribute.func, *attribute.list.func):
                if called.name in names:
                    called.name = names[called.name]


def read_described(path: str | Path) -> tuple[Config, LabelMap] | None:
    """The config and the label map that a graph of ours carries; None of another one."""
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(Path(path).read_bytes())
    except (OSError, DecodeError):
        return None
    texts = {
        node.name.removeprefix(f"{ABOUT}/"): tf.make_ndarray(node.attr["value"].tensor).item().decode()
        for node in graph_def.node
        if node.op == "Const" and node.name.startswith(f"{ABOUT}/")
    }
    if not {CONFIG_FILE, LABEL_MAP_FILE} <= texts.keys():
        return None
    settings = yaml.safe_load(texts[CONFIG_FILE])
    return Config.parse(settings, source=f"{path}:{CONFIG_FILE}"), LabelMap.from_json(texts[LABEL_MAP_FILE])


def _prune(imported: Any, path: str | Path) -> Any:
    """The part of the graph from what is fed to what is fetched, as a function; raises ModelError."""
    names = {operation.name for operation in imported.graph.get_operations()}
    source = next((name for name in INPUTS if name in names), None)
    outputs = next((group for group in OUTPUTS if names.issuperset(group)), None)
    if source is None or outputs is None:
        missing = " or ".join(INPUTS) if source is None else ", ".join(OUTPUTS[0])
        raise ModelError(f"{path}: has no {missing}, so it is no detector's frozen graph; export the model again")
    fed, *fetched = (imported.graph.as_graph_element(f"{name}:0") for name in (source, *outputs))
    return imported.prune(fed, fetched)


def _found(*values: NDArray) -> Found:
    """One image of what was fetched."""
    if len(values) == 1:
        [rows] = values
        rows = rows[rows[:, 5] > 0]
        boxes, scores, classes = rows[:, 1:5], rows[:, 5], rows[:, 6]
    else:
        boxes, scores, classes = (value[: int(values[3])] for value in values[:3])
    best = np.argsort(-scores, kind="stable")
    return boxes[best], scores[best], classes[best].astype(np.int32)
