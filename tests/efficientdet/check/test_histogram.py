from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from efficientdet.check.histogram import LogHistogram


@given(stn.arrays(np.float64, st.integers(0, 40), elements=st.floats(1e-3, 1e6)))
def test_every_number_is_in_its_bin(values: np.ndarray) -> None:
    histogram, marks = LogHistogram(-2, 11, 2), values > 100
    histogram.add(values, marks)
    assert histogram.counts.sum() == len(values)
    assert histogram.marked.sum() == marks.sum()
    exact = 2.0 ** np.arange(-2, 11.5, 0.5)
    inside = values[(values >= exact[0]) & (values < exact[-1])]
    places = histogram.places(inside)
    assert np.all(exact[places] <= inside * (1 + 1e-12))
    assert np.all(inside < exact[places + 1] * (1 + 1e-12))


def test_what_lies_beyond_is_in_the_outermost_bins() -> None:
    histogram = LogHistogram(0, 2, 1)
    histogram.add(np.array([0.1, 1, 3.9, 100]), np.array([True, False, False, True]))
    assert histogram.to_dict() == {"edges": [1, 2, 4], "boxes": [2, 2], "unmatched": [1, 1]}
