"""Levels keep their order, however a runtime sorts the names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from efficientdet.raw_names import by_level, by_name


@given(st.integers(1, 12), st.randoms())
def test_levels_come_back_in_order_from_any_order(count: int, random: object) -> None:
    logits, deltas = list(range(count)), list(range(100, 100 + count))
    named = list(by_name(logits, deltas).items())
    random.shuffle(named)  # type: ignore[attr-defined]
    assert by_level({"segmentation": -1} | dict(named)) == (logits, deltas)
