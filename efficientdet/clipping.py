"""The range of an activation that loses least in 8 bits: rare large values are clipped where the rest gains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from efficientdet.activations import Activation

STEPS = 255
SHARES = np.linspace(0.2, 1.0, 41)
"""Parts of the full range that are tried for each end."""


def full_range(activation: Activation) -> tuple[float, float]:
    """All values seen, and zero, which 8 bits must hold exactly."""
    return min(activation.low, 0.0), max(activation.high, 0.0)


def best_range(activation: Activation, power: float = 2.0) -> tuple[float, float]:
    """The range inside `full_range` with the least sum of errors to the `power`, first the low end's, then the high's.

    A greater power minds large errors more, and clips less.
    """
    low, high = full = full_range(activation)
    if low == high:
        return full
    used = activation.counts > 0
    values, counts = activation.centres[used].clip(*full), activation.counts[used]
    for _ in range(2):
        low = min((full[0] * share for share in SHARES), key=lambda end: _error(values, counts, end, high, power))
        high = min((full[1] * share for share in SHARES), key=lambda end: _error(values, counts, low, end, power))
    return low, high


def _error(values: NDArray[np.float64], counts: NDArray[np.int64], low: float, high: float, power: float) -> float:
    """Of the values, so many times each, in 8 bits between `low` and `high`."""
    if low == high:
        return float("inf")
    scale = (high - low) / STEPS
    zero = round(-low / scale)
    rounded = (np.clip(np.round(values / scale) + zero, 0, STEPS) - zero) * scale
    return float(counts @ np.abs(values - rounded) ** power)
