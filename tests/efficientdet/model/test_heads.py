"""What the heads share between levels, what they do not, and where they start."""

from __future__ import annotations

import numpy as np
import pytest

from efficientdet.model.heads import PRIOR, Head

SIZES = [(4, 4), (2, 2), (1, 1)]


def head(**changes: object) -> Head:
    settings = {"levels": range(3, 6), "filters": 8, "repeats": 2, "channels": 6, "activation": "relu6"}
    return Head("class", **(settings | changes))


def test_convolutions_are_shared_and_normalisation_is_not():
    net = head()
    outputs = net([np.ones((1, *size, 8), np.float32) for size in SIZES])
    assert [tuple(level.shape) for level in outputs] == [(1, *size, 6) for size in SIZES]
    paths = [v.path for v in net.weights]
    assert sum(path.endswith("pointwise_kernel") for path in paths) == 2 + 1
    assert [path for path in paths if path.endswith("gamma")] == [
        f"class_net/class-{i}-bn-{level}/gamma" for i in range(2) for level in (3, 4, 5)
    ]


def test_every_class_starts_at_the_prior():
    net = head(prior=PRIOR)
    for logits in net([np.zeros((1, *size, 8), np.float32) for size in SIZES]):
        np.testing.assert_allclose(logits, -4.59512, rtol=1e-5)  # -log(99), as in google/automl


def test_boxes_start_at_their_anchors():
    for deltas in head()([np.zeros((1, *size, 8), np.float32) for size in SIZES]):
        assert not np.any(deltas)


@pytest.mark.parametrize("training", [True, False])
def test_statistics_move_in_training_only(training: bool):
    net = head()
    rng = np.random.default_rng(0)
    net([rng.standard_normal((2, *size, 8)).astype(np.float32) for size in SIZES], training=training)
    moved = [bool(np.any(v.numpy())) for v in net.non_trainable_weights if v.path.endswith("moving_mean")]
    assert moved == [training] * 6
