"""A frozen graph is called on an image and gives what it finds, whoever named its outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.errors import ModelError
from efficientdet.frozen_graph import load_frozen_graph

v1 = tf.compat.v1
NAMED = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def frozen(form: str) -> bytes:
    """A graph that finds the upper half of any image, class 1 at 0.9, and before it the whole, class 2 at 0.3.

    `form` is how it is called: by our names, as google/automl's first programs did (`stacked`), or as its Keras ones.
    """
    with tf.Graph().as_default() as graph:
        batch, name = (1, "images") if form == "keras" else (None, "image_arrays")
        images = v1.placeholder(tf.uint8, [batch, None, None, 3], name)
        height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))
        zero = tf.zeros([])
        whole, upper = (tf.stack([zero, zero, lowest, width]) for lowest in (height, height / 2))
        boxes = tf.stack([whole, upper, tf.zeros(4)])[None]
        scores, classes = tf.constant([[0.3, 0.9, 0.0]]), tf.constant([[2.0, 1.0, 0.0]])
        count = tf.constant([2])
        if form == "stacked":
            rows = [tf.zeros([1, 3]), *tf.unstack(boxes, axis=2), scores, classes]
            tf.stack(rows, axis=2, name="detections")
        else:
            names = NAMED if form == "named" else ("Identity", "Identity_1", "Identity_2", "Identity_3")
            for value, output in zip((boxes, scores, classes, count), names, strict=True):
                tf.identity(value, output)
        return graph.as_graph_def().SerializeToString()


@pytest.mark.parametrize("form", ["named", "stacked", "keras"])
def test_every_form_is_understood(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.pb").write_bytes(frozen(form))
    detect = load_frozen_graph(tmp_path / "a.pb")
    for height, width in ((20, 30), (8, 6)):
        boxes, scores, classes = detect(np.zeros((height, width, 3), np.uint8))
        np.testing.assert_array_equal(boxes, [[0, 0, height / 2, width], [0, 0, height, width]])
        np.testing.assert_array_equal(scores, np.array([0.9, 0.3], np.float32))
        assert (classes.tolist(), classes.dtype) == ([1, 2], np.int32)


def test_what_is_no_detector_is_a_sentence(tmp_path: Path) -> None:
    with tf.Graph().as_default() as other:
        tf.identity(v1.placeholder(tf.uint8, [None, None, None, 3], "image_arrays"), "logits")
    with tf.Graph().as_default() as broken:
        fed = v1.placeholder(tf.uint8, [None, None, None, 3], "image_arrays")
        tf.identity(tf.reshape(fed, [7]), "detections")
    for name, content, says in (
        ("noise", b"\xff" * 100, "is no frozen graph that runs"),
        ("cut", frozen("named")[:-1], "is no frozen graph that runs"),
        ("broken", broken.as_graph_def().SerializeToString(), "is no frozen graph that runs"),
        ("other", other.as_graph_def().SerializeToString(), "has no detection_boxes, detection_scores"),
        ("empty", b"", "has no image_arrays or images, so it is no detector's frozen graph"),
    ):
        (tmp_path / f"{name}.pb").write_bytes(content)
        with pytest.raises(ModelError, match=rf"{name}\.pb: {says}") as error:
            load_frozen_graph(tmp_path / f"{name}.pb")
        assert "\n" not in str(error.value)
