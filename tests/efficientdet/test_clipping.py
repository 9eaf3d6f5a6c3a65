"""The best range is inside the full one, loses no more, and clips outliers alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.activations import Activation
from efficientdet.clipping import best_range, full_range


def activation(values: np.ndarray) -> Activation:
    seen = Activation()
    seen.add(values.astype(np.float32)[None], with_mean=False)
    return seen


def error(values: np.ndarray, low: float, high: float, power: float) -> float:
    scale = (high - low) / 255
    zero = round(-low / scale)
    return float((np.abs((np.clip(np.round(values / scale) + zero, 0, 255) - zero) * scale - values) ** power).sum())


def test_a_lone_outlier_is_clipped_and_a_uniform_spread_is_not():
    rng = np.random.default_rng(0)
    low, high = best_range(activation(np.append(rng.normal(0, 1, 60_000), 8.0)))
    assert low > -6
    assert high < 7.5
    assert best_range(activation(np.linspace(-1, 3, 20_001))) == (-1, 3)


def test_a_greater_power_clips_less():
    values = np.random.default_rng(1).laplace(0, 1, 20_000)
    spans = [np.ptp(best_range(activation(values), power)) for power in (2.0, 3.0, 6.0)]
    assert spans == sorted(spans)
    assert spans[0] < spans[2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 100), st.floats(-3, 3), st.sampled_from([2.0, 3.0]))
def test_it_loses_no_more_than_the_full_range(seed: int, spread: float, shift: float, power: float):
    values = np.random.default_rng(seed).standard_t(3, 2000) * spread + shift * spread
    seen = activation(values)
    (low, high), full = best_range(seen, power), full_range(seen)
    assert full[0] <= low <= 0 <= high <= full[1]
    # The histogram knows values to half a bin only, so the law is about what it says.
    known = np.repeat(seen.centres, seen.counts).clip(*full)
    assert error(known, low, high, power) <= (1 + 1e-9) * error(known, *full, power)


def test_nothing_but_zero_has_no_range():
    assert best_range(activation(np.zeros(10))) == (0, 0)
