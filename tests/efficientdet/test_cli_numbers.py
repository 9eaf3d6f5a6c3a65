"""Every number outside of a range is refused, and none inside."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.cli_numbers import NumberRange


@given(st.floats())
def test_the_range_is_kept(number: float) -> None:
    if 0 <= number <= 1:
        assert NumberRange(0, 1).convert(str(number), None, None) == number
    else:
        with pytest.raises(click.BadParameter, match=r"is not in the range 0<=x<=1\."):
            NumberRange(0, 1).convert(str(number), None, None)
