"""A scene keeps its image, whatever rows it has."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import PADDING
from efficientdet.data.scene import Scene


def scene(boxes: int) -> Scene:
    corners = np.arange(4 * boxes, dtype=np.float32).reshape(-1, 4)
    return Scene(tf.zeros([4, 4, 3]), tf.constant(corners), tf.range(1, boxes + 1))


@pytest.mark.parametrize("boxes", [0, 2, 3])
def test_rows_are_added_up_to_a_number(boxes: int):
    padded = scene(boxes).padded(3)
    assert padded.boxes.shape == (3, 4)
    assert padded.classes.numpy().tolist() == [*range(1, boxes + 1), *[PADDING] * (3 - boxes)]
    np.testing.assert_array_equal(padded.boxes[:boxes], scene(boxes).boxes)


def test_a_random_subset_keeps_classes_with_their_boxes():
    few = scene(9).at_most(4, tf.constant([1, 2]))
    assert len(set(few.classes.numpy())) == 4
    for box, class_id in zip(few.boxes.numpy(), few.classes.numpy(), strict=True):
        assert box[0] == 4 * (class_id - 1)
    assert scene(2).at_most(4, tf.constant([1, 2])).classes.shape == (2,)
