"""Histograms hold all images whatever their order, and mean maps are means."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.activations import BINS, SAMPLES, Activation


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=8), st.integers(0, 1000))
def test_a_histogram_that_grew_is_that_of_all_values(scales: list[float], seed: int):
    rng = np.random.default_rng(seed)
    images = [(rng.normal(size=(1, 4, 5, 3)) * scale).astype(np.float32) for scale in scales]
    seen = Activation()
    for image in images:
        seen.add(image, with_mean=True)
    values = np.concatenate([image.reshape(-1) for image in images])
    assert (seen.low, seen.high) == (values.min(), values.max())
    assert seen.counts.sum() == values.size
    assert seen.bound / 2 < np.abs(values).max() <= seen.bound
    width = seen.bound / BINS
    expected, _ = np.histogram(values.astype(np.float64), 2 * BINS, (-seen.bound, seen.bound))
    np.testing.assert_array_equal(seen.counts, expected)
    assert np.abs(seen.centres[1] - seen.centres[0] - width) < 1e-9 * width
    np.testing.assert_allclose(seen.mean, np.mean(images, axis=0), rtol=1e-4, atol=1e-4 * max(scales))


def test_large_tensors_are_sampled_in_all_channels_alike():
    image = np.zeros((1, 160, 160, 96), np.float32)
    image[..., 1::2] = 1
    seen = Activation()
    seen.add(image, with_mean=False)
    assert SAMPLES / 2 < seen.counts.sum() < 2 * SAMPLES
    ones = seen.counts[-1] / seen.counts.sum()
    assert abs(ones - 0.5) < 0.01
    assert seen.mean is None


def test_nothing_but_zero_is_fine():
    seen = Activation()
    seen.add(np.zeros((1, 2, 2, 3), np.float32), with_mean=True)
    assert (seen.low, seen.high, seen.bound, seen.images) == (0, 0, 0, 1)
