"""Aspect ratios that fit a data set are found, whatever anchors the config has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.anchor_suggestion import anchor_shapes, box_shapes, suggest_anchors
from efficientdet.anchors import anchors_for
from efficientdet.boxes import iou
from efficientdet.config import Config
from efficientdet.data.input_pipeline import read_examples
from efficientdet.errors import DataError

CONFIG = Config().override("model.image_size=128")


def clusters(*ratios: float, each: int = 200, spread: float = 0.05) -> np.ndarray:
    """Boxes of 24 to 100 pixels of side whose aspect ratios lie around some."""
    rng = np.random.default_rng(0)
    width_by_height = np.exp(np.log(np.repeat(ratios, each)) + rng.normal(0, spread, each * len(ratios)))
    sides = rng.uniform(24, 100, len(width_by_height))
    return np.stack([sides * width_by_height**-0.5, sides * width_by_height**0.5], axis=1).astype(np.float32)


@pytest.mark.parametrize("ratios", [(0.25, 1.0, 4.0), (0.3, 0.8, 2.2), (3.0, 4.5, 7.0)])
def test_clusters_are_found_and_sorted(ratios: tuple[float, ...]):
    shapes = clusters(*ratios)
    found = suggest_anchors(shapes, CONFIG)
    assert found.suggested.aspect_ratios == pytest.approx(ratios, rel=0.13)  # the step of the candidates
    assert list(found.suggested.aspect_ratios) == sorted(found.suggested.aspect_ratios)
    assert found.suggested.mean_iou > found.current.mean_iou
    assert found.suggested.unreached <= found.current.unreached
    assert found.is_new
    shuffled = np.random.default_rng(1).permutation(shapes)
    assert suggest_anchors(shuffled, CONFIG).suggested.aspect_ratios == found.suggested.aspect_ratios
    adopted = CONFIG.override(found.hparams)
    assert adopted.model.aspect_ratios == found.suggested.aspect_ratios
    assert not suggest_anchors(shapes, adopted).is_new


shapes_of_boxes = st.lists(st.tuples(st.floats(1, 128), st.floats(1, 128)), min_size=1, max_size=30)
aspect_ratios = st.lists(st.floats(0.1, 10) | st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=25)
@given(shapes=shapes_of_boxes, ratios=aspect_ratios)
def test_no_suggestion_fits_worse_than_what_is_configured(shapes: list, ratios: list):
    """The exchange starts from the config's ratios, pairs of factors among them."""
    config = CONFIG.override({"model": {"aspect_ratios": ratios}})
    found = suggest_anchors(np.array(shapes, np.float32), config)
    assert found.suggested.mean_iou >= found.current.mean_iou
    assert len(found.suggested.aspect_ratios) == len(ratios)
    assert CONFIG.override(found.hparams).model.aspect_ratios == found.suggested.aspect_ratios


def test_the_fit_is_that_of_the_anchors():
    """Boxes on the centre of a cell in the middle of every level have the IoU that is reported."""
    config = CONFIG.override("model.min_level=3,model.max_level=4,model.aspect_ratios=[[1.4,0.7],2.0,0.5]")
    shapes = clusters(0.5, 3.0, each=10)
    anchors = anchors_for(config)
    middles = []
    for (height, width), start in zip(anchors.feature_sizes, (0, 16 * 16 * 9), strict=True):
        first = start + (height // 2 * width + width // 2) * 9
        middles.append(anchors.boxes[first : first + 9])
    moved = np.concatenate([level - np.tile((level[:, :2] + level[:, 2:]) / 2, 2) for level in middles])
    ours = anchor_shapes(config, config.model.aspect_ratios)
    sides = moved[:, 2:] - moved[:, :2]
    # Anchors count through levels, octaves, ratios.
    np.testing.assert_allclose(ours.swapaxes(0, 1).reshape(-1, 2), sides, rtol=1e-5)
    best = iou(np.concatenate([-shapes / 2, shapes / 2], axis=1), moved).max(axis=1)
    found = suggest_anchors(shapes, config).current
    assert found.mean_iou == pytest.approx(best.mean(), abs=1e-5)
    assert found.unreached == np.mean(best < 0.5)


def test_boxes_that_no_ratio_reaches_are_told():
    shapes = np.concatenate([np.full((3, 2), 8.0), np.full((1, 2), 64.0)]).astype(np.float32)
    found = suggest_anchors(shapes, CONFIG)
    assert found.too_small == 0.75
    assert found.suggested.unreached == 0.75


def test_shapes_are_those_of_boxes_in_the_network_input(digit_shards: Path):
    pattern = str(digit_shards / "Split-*/*")
    boxes = np.concatenate([example["boxes"] for example in read_examples(pattern).as_numpy_iterator()])
    shapes = box_shapes(pattern, Config().override("model.image_size=192x48"))  # of images of 96x96
    np.testing.assert_allclose(shapes, (boxes[:, 2:] - boxes[:, :2]) / 2, rtol=1e-5)


def test_an_empty_split_is_an_error():
    with pytest.raises(DataError, match="hold no box to suggest anchors for"):
        suggest_anchors(np.empty((0, 2), np.float32), CONFIG)
