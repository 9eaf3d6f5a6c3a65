"""Reading a detector's variables from TensorFlow checkpoints, by name or by object graph."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from efficientdet.errors import ModelError
from efficientdet.model.variable_names import AVERAGE, canonical_name, canonical_path

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
AVERAGE_SLOT = "average"  # where tensorflow-addons' MovingAverage optimizer keeps a variable's average

_OPTIMIZER = re.compile(r"_?optimizer")
# Second ways to a variable, which Keras adds to the attributes that the classes have.
_KERAS_WAYS = re.compile(r"_?optimizer|keras_api|(\w+_)?variables|_self_\w+|layer(_with_weights)?-\d+|signatures")


def newest_checkpoint(folder: Path) -> Path:
    """The prefix of the checkpoint that a folder's `checkpoint` file calls the newest, or of the only one.

    Raises:
      ModelError: that file is damaged or names a checkpoint that is not there, or no file says which is meant.
    """
    if (folder / "checkpoint").is_file():
        unreadable = f"{folder / 'checkpoint'}: cannot be read; give the path of one .index file instead"
        try:
            state = tf.train.get_checkpoint_state(str(folder))
        except ValueError as error:
            raise ModelError(unreadable) from error
        if state is None or not state.model_checkpoint_path:
            raise ModelError(unreadable)
        named = Path(state.model_checkpoint_path)
        # A folder that was moved still names its old place.
        for prefix in (named, folder / named.name):
            if _index(prefix).is_file():
                return prefix
        raise ModelError(
            f"{folder / 'checkpoint'}: names {named.name} as the newest, but {_index(folder / named.name)} is missing; "
            "copy it there or give the path of another checkpoint"
        )
    indexes = sorted(folder.glob("*.index"))
    if len(indexes) != 1:
        found = ", ".join(index.name for index in indexes) or "none"
        raise ModelError(f"{folder}: one checkpoint is needed, found {found}; give the path of one .index file")
    return indexes[0].with_suffix("")


def read_checkpoint(prefix: str | Path) -> dict[str, NDArray[Any]]:
    """The detector's variables in a checkpoint, moving averages in place of what they average.

    Args:
      prefix: path of the checkpoint without `.index`.

    Returns:
      Variable name to value. In an object-based checkpoint whose variables have no such names, the key is the
      attribute path (see `variable_names.attribute_paths`). Optimizer state, step counters and all that belongs
      to no detector are left out.

    Raises:
      ModelError: files are missing, cut short or damaged.
    """
    if odd := sorted(set(str(prefix)) & set("*?[]")):
        raise ModelError(f"{prefix}: TensorFlow takes {' '.join(odd)} for a pattern; copy it to a path without")
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        keys = reader.get_variable_to_shape_map()
        if GRAPH_KEY in keys:
            chosen = _object_keys(TrackableObjectGraph.FromString(reader.get_tensor(GRAPH_KEY)))
        else:
            chosen = _name_keys(keys)
        return {name: np.asarray(reader.get_tensor(key)) for name, key in chosen.items()}
    except Exception as error:  # the readers raise whatever fits: OpError, RuntimeError, ValueError, DecodeError
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{prefix}: not a readable TensorFlow checkpoint ({reason}); copy all its files again"
        ) from error


def _name_keys(keys: Mapping[str, object]) -> dict[str, str]:
    """Variable name to key of a name-based checkpoint."""
    chosen = {}
    # Of two keys for one variable the later counts: the one with fewer scopes, and the average above all.
    for key in sorted(keys, key=lambda key: (key.endswith(AVERAGE), -len(key))):
        if name := canonical_name(key.removesuffix(AVERAGE)):
            chosen[name] = key
    return chosen


def _object_keys(graph: TrackableObjectGraph) -> dict[str, str]:
    """Variable name, or attribute path, to key of an object-based checkpoint."""
    slots = [slot for node in graph.nodes for slot in node.slot_variables]
    averages = {s.original_variable_node_id: s.slot_variable_node_id for s in slots if s.slot_name == AVERAGE_SLOT}
    not_ours = {slot.slot_variable_node_id for slot in slots}
    paths = _walk(graph, skip=_KERAS_WAYS)
    chosen: dict[str, str] = {}
    for node in _walk(graph, skip=_OPTIMIZER):
        if node in not_ours:
            continue
        for attribute in graph.nodes[node].attributes:
            name = canonical_name(attribute.full_name) or canonical_path(paths.get(node, ""))
            if name:
                chosen.setdefault(name, _key(graph, averages.get(node, node)))
    return chosen


def _key(graph: TrackableObjectGraph, node: int) -> str:
    return str(graph.nodes[node].attributes[0].checkpoint_key)


def _walk(graph: TrackableObjectGraph, skip: re.Pattern[str]) -> dict[int, str]:
    """Node to its shortest path from the root, the nearest first, along edges whose name is not skipped."""
    paths = {0: ""}
    queue = deque([0])
    while queue:
        node = queue.popleft()
        for child in graph.nodes[node].children:
            if child.node_id not in paths and not skip.fullmatch(child.local_name):
                paths[child.node_id] = f"{paths[node]}/{child.local_name}".lstrip("/")
                queue.append(child.node_id)
    return paths


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")
