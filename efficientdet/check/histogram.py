"""A histogram with bins that are fixed beforehand, equally wide on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class LogHistogram:
    """Counts of positive numbers, and of those among them that are marked.

    Args:
      low, high: powers of two where the bins begin and end; what lies beyond is counted in the outermost bin.
      per_octave: bins from a number to its double.

    Attributes:
      counts, marked: `[bins]` int64.
    """

    def __init__(self, low: int, high: int, per_octave: int) -> None:
        self._low, self._per_octave = low, per_octave
        self.counts = np.zeros((high - low) * per_octave, np.int64)
        self.marked = np.zeros_like(self.counts)

    def add(self, values: NDArray[np.floating], marks: NDArray[np.bool_]) -> None:
        """Counts positive numbers `[n]`, some of which are marked `[n]`."""
        places = self.places(values)
        np.add.at(self.counts, places, 1)
        np.add.at(self.marked, places[marks], 1)

    def places(self, values: Iterable[float] | NDArray[np.floating]) -> NDArray[np.int64]:
        """The bins `[n]` of positive numbers."""
        exact = (np.log2(np.asarray(values, np.float64)) - self._low) * self._per_octave
        return np.clip(np.floor(exact), 0, len(self.counts) - 1).astype(np.int64)

    @property
    def edges(self) -> list[float]:
        """Where the bins begin, and where the last one ends."""
        return [float(f"{math.exp2(self._low + i / self._per_octave):.4g}") for i in range(len(self.counts) + 1)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: `edges`, one more than `boxes` and `unmatched`."""
        return {"edges": self.edges, "boxes": self.counts.tolist(), "unmatched": self.marked.tolist()}
