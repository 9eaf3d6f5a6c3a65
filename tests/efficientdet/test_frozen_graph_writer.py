"""The frozen graph answers like the SavedModel, under the names of google/automl's programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.frozen_graph import load_frozen_graph, read_described
from efficientdet.frozen_graph_writer import export_frozen_graph
from efficientdet.model.detector import build_detector

NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def pruned(path: Path, source: str, names: list[str]) -> Any:
    """What TensorFlow 1 programs run: the graph from one name to others."""
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    element = imported.graph.as_graph_element
    return imported.prune(element(f"{source}:0"), [element(f"{name}:0") for name in names])


@pytest.fixture(scope="module")
def answer(every_format: Any) -> dict[str, np.ndarray]:
    loaded = tf.saved_model.load(str(every_format.folder / "Format-Serving"))
    found = loaded.signatures["images"](images=tf.constant(every_format.pictures))
    return {name: found[name].numpy() for name in NAMES}


@pytest.mark.parametrize("source", ["images", "image_arrays"])
def test_outputs_by_name_are_those_of_the_savedmodel(every_format: Any, answer: dict, source: str) -> None:
    path = every_format.folder / "frozen_graph.pb"
    found = pruned(path, source, list(NAMES))(tf.constant(every_format.pictures))
    for name, values in zip(NAMES, found, strict=True):
        np.testing.assert_allclose(values, answer[name], atol=1e-2)


def test_outputs_of_both_generations_of_google_automl(every_format: Any, answer: dict) -> None:
    names = ["Identity", "Identity_1", "Identity_2", "Identity_3", "detections"]
    run = pruned(every_format.folder / "frozen_graph.pb", "images", names)
    boxes, scores, classes, count, rows = (value.numpy() for value in run(tf.constant(every_format.pictures)))
    assert classes.dtype == np.float32
    np.testing.assert_array_equal(count, answer["num_detections"])
    np.testing.assert_array_equal(classes, answer["detection_classes"])
    assert rows.shape == (8, 20, 7)
    np.testing.assert_array_equal(rows[..., 0], np.repeat(np.arange(8)[:, None], 20, axis=1))
    np.testing.assert_array_equal(rows[..., 1:5], boxes)
    np.testing.assert_array_equal(rows[..., 5], scores)
    np.testing.assert_array_equal(rows[..., 6], classes)


def test_no_variable_is_left(every_format: Any) -> None:
    graph = tf.compat.v1.GraphDef.FromString((every_format.folder / "frozen_graph.pb").read_bytes())
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert not [node.name for node in nodes if "Variable" in node.op]


def test_the_graph_describes_itself(every_format: Any) -> None:
    path = every_format.folder / "frozen_graph.pb"
    assert read_described(path) == (every_format.config, every_format.label_map)
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    [node] = [node for node in graph.node if node.name == "efficientdet/label_map_hash"]
    assert tf.make_ndarray(node.attr["value"].tensor).item().decode() == every_format.label_map.hash


def test_the_bare_network_is_frozen_with_its_raw_outputs(every_format: Any, tmp_path: Path) -> None:
    config = every_format.config.override({"export": {"pre_mode": None, "post_mode": None}})
    export_frozen_graph(every_format.model, config, every_format.label_map, tmp_path / "net.pb")
    images = tf.random.stateless_normal([2, 64, 64, 3], [0, 0])
    [logits] = pruned(tmp_path / "net.pb", "images", ["class_logits_2"])(images)
    np.testing.assert_allclose(logits, every_format.model(images, training=False).class_logits[2], atol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pb"], "nothing is left aside"


def test_two_graphs_live_in_one_process(every_format: Any, tmp_path: Path) -> None:
    """As when two are compared; their loops bear one name when they come from the converter."""
    config = every_format.config.override("nms.max_detections=7")
    other = build_detector(config, len(every_format.label_map))
    export_frozen_graph(other, config, every_format.label_map, tmp_path / "other.pb")
    found = {}
    for path in (every_format.folder / "frozen_graph.pb", tmp_path / "other.pb"):
        found[path.stem] = pruned(path, "images", ["detection_scores"])(tf.constant(every_format.pictures))[0]
        assert load_frozen_graph(path)(every_format.pictures[0])[0].shape[1] == 4
    assert [scores.shape for scores in found.values()] == [(8, 20), (8, 7)]
