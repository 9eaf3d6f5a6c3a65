"""A random sample of bounded size, of boxes' heights and widths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST = 100_000


class BoxSample:
    """All shapes while there are at most `largest`, then a uniform random part of so many; the same for the same data.

    This is reservoir sampling (Vitter's algorithm R).
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self._kept: list[tuple[float, float]] = []
        self._largest, self._seen = largest, 0
        self._random = np.random.default_rng(0)

    def add(self, shapes: NDArray[np.floating]) -> None:
        """Offers shapes `[n, 2]`."""
        for height, width in shapes.tolist():
            self._seen += 1
            if len(self._kept) < self._largest:
                self._kept.append((height, width))
            elif (place := int(self._random.integers(self._seen))) < self._largest:
                self._kept[place] = height, width

    @property
    def shapes(self) -> NDArray[np.float32]:
        """`[m, 2]` the sample."""
        return np.array(self._kept, np.float32).reshape(-1, 2)
