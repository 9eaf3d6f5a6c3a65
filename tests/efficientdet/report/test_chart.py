from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.report.chart import SIDE_X, SIDE_Y, Line, legend, line_chart, path_of, place, styles

VALUES = st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=101, max_size=101)


def points(path: str) -> list[tuple[int, int]]:
    """The corners that a path of M, l and h goes through."""
    x = y = 0
    passed = []
    for command, first, second in re.findall(r"([Mlh])(-?\d+)(?: (-?\d+))?", path):
        x, y = (int(first), int(second)) if command == "M" else (x + int(first), y + int(second or 0))
        passed.append((x, y))
    return passed


def test_paths() -> None:
    assert path_of(np.ones(101)) == f"M0 0h{SIDE_X}"
    assert path_of(np.full(101, np.nan)) == ""
    gap = np.append(np.ones(50), [np.nan] * 51)
    assert points(path_of(gap)) == [(0, 0), (round(SIDE_X * 0.49), 0)]


@given(VALUES)
def test_a_path_goes_through_every_value(values: list[float]) -> None:
    passed = points(path_of(values))
    known = [(round(SIDE_X * i / 100), round(SIDE_Y * (1 - v))) for i, v in enumerate(values) if v == v]
    corners = dict(passed)
    for x, y in known:
        before = max((p for p in passed if p[0] <= x), key=lambda p: p[0])
        assert abs((corners[x] if x in corners else before[1]) - y) <= 1


def test_a_chart_names_its_lines(scene, look) -> None:
    line = Line(np.ones(101), "c1 champion", "<int8>", dot=(0.5, 1.0))
    html = line_chart("<name>", "facts", [line])
    assert "<title>&lt;int8&gt;</title>" in html
    assert 'aria-label="&lt;name&gt;, facts"' in html
    assert f'<circle cx="{SIDE_X // 2}" cy="0"' in html
    assert place(0, 0) == (0, SIDE_Y)


def test_a_champion_has_the_colour_of_its_variant(scene, look) -> None:
    names = {"float": [], "int8": [], "champion/int8": []}
    study = look([scene("1", **names)])
    assert styles(study) == {"float": "c0", "int8": "c1", "champion/int8": "c1 champion"}
    assert legend(study).count("<path") == 3
    assert legend(look([scene("1", float=[])])) is None
