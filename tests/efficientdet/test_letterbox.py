"""How images enter the network."""

from __future__ import annotations

import numpy as np
import pytest

from efficientdet.architectures import ARCHITECTURES
from efficientdet.letterbox import letterbox


@pytest.mark.parametrize(("shape", "inner", "scale"), [((50, 100), (32, 64), 0.64), ((100, 50), (64, 32), 0.64)])
def test_aspect_ratio_is_kept_and_the_rest_is_padded(shape, inner, scale):
    image = np.full((*shape, 3), 200, np.uint8)
    boxed, factor = letterbox(image, (64, 64), (10.0, 20.0, 30.0))
    assert float(factor) == pytest.approx(scale)
    assert boxed.shape == (64, 64, 3)
    assert np.all(boxed[: inner[0], : inner[1]] == 200)
    outside = np.ones((64, 64), bool)
    outside[: inner[0], : inner[1]] = False
    assert np.unique(boxed.numpy()[outside], axis=0).tolist() == [[10, 20, 30]]


def test_an_image_of_the_right_size_is_untouched():
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    boxed, scale = letterbox(image, (32, 48), (127.0,) * 3)
    np.testing.assert_array_equal(boxed, image)
    assert float(scale) == 1


def test_a_one_pixel_line_survives():
    boxed, _ = letterbox(np.full((1, 1000, 3), 9, np.uint8), (32, 32), (0.0,) * 3)
    assert np.all(boxed[0] == 9)


@pytest.mark.parametrize("case", ["land", "port", "up", "rect", "square", "odd", "lite"])
def test_equals_the_reference(shared, case):
    """golden/preprocess_eval.npz: google/automl's network input, normalised before resizing."""
    golden = np.load(shared / "golden" / "preprocess_eval.npz")
    expected = golden[f"{case}/out"]
    name = "efficientdet-lite0" if case == "lite" else "efficientdet-d0"
    mean, stddev = ARCHITECTURES[name].mean, ARCHITECTURES[name].stddev
    boxed, scale = letterbox(golden[f"{case}/image"], expected.shape[:2], mean)
    np.testing.assert_allclose((boxed - np.float32(mean)) / np.float32(stddev), expected, atol=2e-5)
    assert float(scale) == pytest.approx(float(golden[f"{case}/image_scale"]))
