"""Each class at its best threshold, and what is taken for what at the same thresholds."""

from __future__ import annotations

from efficientdet.best_threshold import DEFAULT_THRESHOLD, WorkingPoint
from efficientdet.report.confusion import Confusion, confusion
from efficientdet.report.markup import Html, join, tag
from efficientdet.report.panels import panels
from efficientdet.report.sections.scores import TALL
from efficientdet.report.study import Contender, Study
from efficientdet.report.table import Number, count, table

LARGEST = 12
"""Confusions that are listed."""
MOST_CLASSES, MOST_WITH_COUNTS = 100, 24
"""Classes in a drawn matrix, and those of one with numbers in it."""
BACKGROUND, NOT_FOUND = "background", "not found"


def thresholds(study: Study) -> Html:
    """The table of working points and the confusion matrix, of each contender."""
    text = (
        "Each class is taken at the threshold where its F1 at IoU 0.5 is greatest; of equally good ones at the "
        f"highest. A star marks classes that have none, since nothing was found or is there; they are taken at "
        f"{DEFAULT_THRESHOLD}. The matrix below counts the same detections, so its sums are those of the table."
    )
    return join(
        tag("h2", "Best thresholds and confusion", id="thresholds"),
        tag("p", text),
        panels(study, lambda contender: join(_points(study, contender), _matrix(study, contender))),
    )


def _points(study: Study, contender: Contender) -> Html:
    points = {c: p for c, p in contender.points.items() if p.positives or p.true or p.false}
    if not points:
        return tag("p", "There is neither an object nor a believed detection.")
    header = ["class", "objects", "threshold", "precision", "recall", "F1", "found", "false", "missed"]
    shown = sorted(sorted(points, key=lambda class_id: -points[class_id].positives)[: study.limits.rows])
    rows = [[study.name(class_id), *_point(points[class_id])] for class_id in shown]
    sums = (sum(getattr(p, name) for p in points.values()) for name in ("true", "false", "positives"))
    total = ["all", *_point(WorkingPoint(0.0, *sums))]
    total[2] = ""
    left_out = study.left_out(len(rows), len(points))
    return join(
        tag("p", left_out) if left_out else None, table(header, rows, total, sortable=True, tall=len(rows) > TALL)
    )


def _point(point: WorkingPoint) -> list[object]:
    star = None if point.is_best else tag("small", "*")
    return [
        count(point.positives),
        Number(point.threshold, note=star),
        *(Number(value) for value in (point.precision, point.recall, point.f1)),
        *(count(value) for value in (point.true, point.false, point.missed)),
    ]


def _matrix(study: Study, contender: Contender) -> Html:
    matrix = confusion(study, contender)
    shown = matrix.busiest(MOST_CLASSES)
    left_out = len(matrix.classes) - len(shown.classes)
    text = "Rows: what is there. Columns: what was detected. The colour is the part of the row."
    if left_out:
        text += f" Shown are the {len(shown.classes)} classes with most errors; {left_out} others are left out."
    return join(
        tag("h3", "Confusion matrix"),
        tag("p", text),
        tag("div", _drawn(study, shown), class_="wide", tabindex=0),
        _largest(study, matrix),
    )


def _largest(study: Study, matrix: Confusion) -> Html:
    rows = [
        [join(study.name(matrix.classes[row]), " → ", study.name(matrix.classes[column])), count(number)]
        for row, column, number in matrix.largest(LARGEST)
    ]
    if not rows:
        return tag("p", "No object is taken for one of another class.")
    return join(tag("h3", "Most frequent confusions"), table(["object → detected as", "times"], rows))


def _drawn(study: Study, matrix: Confusion) -> Html:
    """The matrix as SVG; cells without a count are not drawn."""
    k, numbered = len(matrix.classes), len(matrix.classes) <= MOST_WITH_COUNTS
    side = 38 if numbered else 12
    names = [study.name(class_id) for class_id in matrix.classes]
    rows, columns = [*names, BACKGROUND], [*names, NOT_FOUND]
    margin = 14 + round(6.2 * min(max(map(len, [*rows, *columns])), 22))
    parts = [tag("rect", width=side * (k + 1), height=side * (k + 1), class_="back")]
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        middle = side * i + side / 2
        parts.append(tag("text", _short(row), x=-6, y=middle + 4, text_anchor="end", class_="name"))
        turned = f"translate({middle + 4} -6) rotate(-90)"
        parts.append(tag("text", _short(column), transform=turned, class_="name"))
    totals = matrix.counts.sum(axis=1)
    for i, j, number in matrix.cells(study.limits.cells):
        strength = 0.12 + 0.88 * number / int(totals[i])
        place = {"x": side * j + 0.5, "y": side * i + 0.5, "width": side - 1, "height": side - 1}
        title = tag("title", f"{_short(rows[i])} → {_short(columns[j])}: {number} of {totals[i]}")
        kind = "right" if i == j else "wrong"
        parts.append(tag("rect", title, **place, fill_opacity=f"{strength:.2f}", class_=kind))
        if numbered:
            parts.append(tag("text", number, x=side * (j + 0.5), y=side * (i + 0.5) + 4, class_="count"))
    size = side * (k + 1) + margin + 8
    view = f"{-margin} {-margin} {size} {size}"
    return tag(
        "svg", parts, viewBox=view, width=size, height=size, class_="matrix", role="img", aria_label="Confusion matrix"
    )


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"
