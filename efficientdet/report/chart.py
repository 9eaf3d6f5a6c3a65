"""Charts of numbers from 0 to 1 over numbers from 0 to 1, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from efficientdet.report.markup import Html, join, tag
from efficientdet.report.study import Study
from efficientdet.scored_image import CHAMPION_PREFIX

SIDE_X, SIDE_Y = 260, 170
"""Units of the plot; lines are drawn in whole ones."""
VIEW = f"-30 -8 {SIDE_X + 40} {SIDE_Y + 32}"
COLOURS = 6


class Line(NamedTuple):
    """A curve through 101 values of y at equal steps of x from 0 to 1; nan leaves a gap. style: CSS classes."""

    values: NDArray[np.float64]
    style: str
    title: str
    dot: tuple[float, float] | None = None


def styles(study: Study) -> dict[str, str]:
    """The CSS classes that draw each contender: a colour per variant, broken lines for the champion's."""
    variants = list(dict.fromkeys(contender.name.removeprefix(CHAMPION_PREFIX) for contender in study.contenders))
    return {
        contender.name: f"c{variants.index(contender.name.removeprefix(CHAMPION_PREFIX)) % COLOURS}"
        + (" champion" if contender.name.startswith(CHAMPION_PREFIX) else "")
        for contender in study.contenders
    }


def legend(study: Study) -> Html | None:
    """Which line is whose; nothing for a single contender."""
    if len(study.contenders) < 2:
        return None
    line = tag("path", d="M0 5H26", class_="line")
    keys = (tag("span", tag("svg", line, viewBox="0 0 26 10"), name, class_=s) for name, s in styles(study).items())
    return tag("p", keys, class_="legend")


def axes() -> Html:
    """What every chart is drawn over; once in the page, before the first."""
    parts = []
    for i in range(5):
        x, y, label = SIDE_X * i // 4, SIDE_Y - SIDE_Y * i // 4, f"{i / 4:g}"
        parts.append(tag("path", d=f"M0 {y}H{SIDE_X}M{x} 0V{SIDE_Y}", class_="grid"))
        if i % 2 == 0:
            parts.append(tag("text", label, x=-6, y=y + 4, text_anchor="end", class_="tick"))
            parts.append(tag("text", label, x=x, y=SIDE_Y + 18, text_anchor="middle", class_="tick"))
    return tag("svg", tag("defs", tag("g", parts, id="axes")), class_="sheet", aria_hidden="true")


def line_chart(name: str, facts: str, lines: Iterable[Line]) -> Html:
    """Curves over the axes, with a dot where each has one."""
    return chart(name, facts, map(_line, lines))


def chart(name: str, facts: str, *content: object) -> Html:
    """A figure of whatever is drawn in the units of the plot, under its name and what else is to be said."""
    svg = tag("svg", tag("use", href="#axes"), *content, viewBox=VIEW, role="img", aria_label=f"{name}, {facts}")
    return tag("figure", tag("figcaption", tag("b", name), " ", facts), svg)


def place(x: float, y: float) -> tuple[int, int]:
    """Where a point of the unit square lies in the plot."""
    return round(SIDE_X * x), round(SIDE_Y * (1 - y))


def _line(line: Line) -> Html:
    path = tag("path", tag("title", line.title), d=path_of(line.values), class_="line")
    dot = tag("circle", cx=(at := place(*line.dot))[0], cy=at[1], r=4, class_="dot") if line.dot else None
    return tag("g", path, dot, class_=line.style)


def path_of(values: ArrayLike) -> str:
    """The path through y values at equal steps of x; points on a straight line between two others are left out."""
    heights = np.asarray(values, np.float64)
    xs = np.rint(np.linspace(0, SIDE_X, len(heights)))
    parts = []
    for run in np.split(np.arange(len(heights)), np.flatnonzero(np.diff(np.isnan(heights))) + 1):
        if len(run) and not np.isnan(heights[run[0]]):
            parts.append(_run(xs[run].astype(int).tolist(), np.rint(SIDE_Y * (1 - heights[run])).astype(int).tolist()))
    return "".join(parts)


def _run(xs: Sequence[int], ys: Sequence[int]) -> str:
    kept = [0]
    for i in range(1, len(xs)):
        last = kept[-1]
        straight = len(kept) > 1 and ys[i] == ys[last] == ys[kept[-2]]
        if straight:
            kept[-1] = i
        else:
            kept.append(i)
    steps = [f"M{xs[0]} {ys[0]}"]
    for before, after in pairwise(kept):
        dx, dy = xs[after] - xs[before], ys[after] - ys[before]
        steps.append(f"h{dx}" if dy == 0 else f"l{dx} {dy}")
    return join(steps)
