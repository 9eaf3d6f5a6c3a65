"""A random sample of bounded size, of boxes' heights and widths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST = 20_000


class BoxSample:
    """All shapes while there are at most `largest`, then a uniform random part of so many; the same for the same data.

    This is reservoir sampling (Vitter's algorithm R).
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self._kept = np.empty((largest, 2), np.float32)
        self._seen = 0
        self._random = np.random.default_rng(0)

    def add(self, shapes: NDArray[np.floating]) -> None:
        """Offers shapes `[n, 2]`."""
        for shape in shapes:
            full = self._seen >= len(self._kept)
            self._seen += 1
            place = int(self._random.integers(self._seen)) if full else self._seen - 1
            if place < len(self._kept):
                self._kept[place] = shape

    @property
    def shapes(self) -> NDArray[np.float32]:
        """`[m, 2]` the sample."""
        return self._kept[: self._seen]
