"""Tables, and how a number is shown in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from efficientdet.report.markup import Html, join, tag

ABSENT = "n/a"


@dataclass(frozen=True)
class Number:
    """A number in a cell; None is shown as ABSENT and sorted last.

    note: what follows it in small print. bar: whether its part of 1 is drawn behind it.
    """

    value: float | None
    digits: int = 3
    note: Html | None = None
    bar: bool = False

    def cell(self) -> Html:
        """The element."""
        if self.value is None:
            return tag("td", tag("span", ABSENT, class_="soft"), self.note)
        style = f"--v:{100 * min(max(self.value, 0), 1):.1f}%" if self.bar else None
        return tag("td", f"{self.value:.{self.digits}f}", self.note, class_="bar" if self.bar else None, style=style)


def count(value: int) -> Number:
    """A whole number."""
    return Number(value, 0)


def difference(value: float | None, other: float | None, digits: int = 3) -> Html | None:
    """How much `value` is above `other`, in small print; nothing where one of them is not a number."""
    if value is None or other is None:
        return None
    change = round(value - other, digits)
    sign, kind = ("+", "up") if change > 0 else ("−", "down") if change < 0 else ("±", None)
    return tag("small", f" {sign}{abs(change):.{digits}f}", class_=kind)


def table(
    header: Sequence[object],
    rows: Iterable[Sequence[object]],
    total: Sequence[object] | None = None,
    sortable: bool = False,
    tall: bool = False,
) -> Html:
    """A table whose rows begin with what they are about; a box of its own scrolls what is too wide, or too `tall`.

    Cells are Numbers, texts or HTML. A heading stands over numbers on the right.
    """
    listed = [list(row) for row in rows]
    shape = listed[0] if listed else [None] * len(header)
    heads = (
        tag("th", name, class_="n" if isinstance(cell, Number) else None, scope="col")
        for name, cell in zip(header, shape, strict=True)
    )
    body = tag("tbody", (tag("tr", _cells(row)) for row in listed))
    foot = tag("tfoot", tag("tr", _cells(total))) if total else None
    inside = tag("table", tag("thead", tag("tr", heads)), body, foot, class_="sortable" if sortable else None)
    return tag("div", inside, class_="wide tall" if tall else "wide", tabindex=0)


def _cells(row: Sequence[object]) -> Html:
    first, *rest = row
    cells = (cell.cell() if isinstance(cell, Number) else tag("td", cell, class_="t") for cell in rest)
    return join(tag("th", first, scope="row"), cells)
