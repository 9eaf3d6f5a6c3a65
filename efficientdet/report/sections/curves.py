"""The curves: of all classes together, of the worst and best, and of each in a fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from efficientdet.report.chart import Line, legend, line_chart, styles
from efficientdet.report.curves import Curves, class_curves, mean_curves
from efficientdet.report.markup import Html, join, tag
from efficientdet.report.study import Study

COLUMNS = {
    "precision_at_recalls": ("Precision", "over recall"),
    "f1": ("F1", "over threshold"),
    "precision": ("Precision", "over threshold"),
    "recall": ("Recall", "over threshold"),
}
OVERVIEW = 4
"""Worst and best classes that are shown at once."""

ByClass = dict[int, Curves]


def curves(study: Study) -> Html:
    """Four charts for all classes and for each, with a line for every contender."""
    heading = tag("h2", "Curves", id="curves")
    if not study.positives:
        return join(heading, tag("p", "There is no object, so there is no curve."))
    every = {contender.name: class_curves(contender, study.positives) for contender in study.contenders}
    means = {name: mean_curves(by_class.values()) for name, by_class in every.items()}
    ranked = _worst_first(study, every[study.contenders[0].name])
    text = (
        "At IoU 0.5. Precision over recall is COCO's, so the area under it is AP50; a threshold is the score from "
        "which on detections are believed, and the dots are the best ones, where F1 is greatest."
    )
    return join(
        heading,
        tag("p", text),
        legend(study),
        tag("h3", "Mean of all classes"),
        tag("div", _four(study, means, None), class_="charts"),
        _overview(study, every, ranked) if len(ranked) > 1 else None,
        _folds(study, every, ranked),
    )


def _worst_first(study: Study, by_class: ByClass) -> list[int]:
    """By AP50, of equals those with more objects."""
    return sorted(by_class, key=lambda class_id: (_ap50(by_class[class_id]), -study.positives[class_id]))


def _ap50(curves: Curves) -> float:
    return float(curves.precision_at_recalls.mean())


def _facts(study: Study, by_class: ByClass, class_id: int) -> str:
    number = study.positives[class_id]
    return f"AP50 {_ap50(by_class[class_id]):.3f}, {number} object{'s' * (number != 1)}"


def _overview(study: Study, every: dict[str, ByClass], ranked: list[int]) -> Html:
    groups = {"Worst classes": ranked[:OVERVIEW], "Best classes": ranked[-OVERVIEW:][::-1]}
    if len(ranked) <= 2 * OVERVIEW:
        groups = {"Each class, the worst first": ranked}
    return join(
        (tag("h3", f"{title}: precision over recall"), tag("div", _charts(study, every, chosen), class_="charts"))
        for title, chosen in groups.items()
    )


def _charts(study: Study, every: dict[str, ByClass], chosen: list[int]) -> list[Html]:
    return [_first(study, every, class_id) for class_id in chosen]


def _first(study: Study, every: dict[str, ByClass], class_id: int) -> Html:
    lines = [
        Line(by_class[class_id].precision_at_recalls, styles(study)[name], name) for name, by_class in every.items()
    ]
    return line_chart(study.name(class_id), _facts(study, every[study.contenders[0].name], class_id), lines)


def _folds(study: Study, every: dict[str, ByClass], ranked: list[int]) -> Html:
    best = study.limits.curves // 6
    worst = study.limits.curves - best
    shown, said = ranked, f"Each of the {len(ranked)} classes, the worst first"
    if len(ranked) > worst + best:
        shown, said = (
            ranked[:worst] + ranked[len(ranked) - best :],
            f"The {worst} worst and {best} best of {len(ranked)} classes",
        )
    first = every[study.contenders[0].name]
    folds = (
        _fold(study, {name: c[class_id] for name, c in every.items()}, class_id, _facts(study, first, class_id))
        for class_id in shown
    )
    return tag("details", tag("summary", said), tag("div", folds, class_="findable"))


def _fold(study: Study, by_name: dict[str, Curves], class_id: int, said: str) -> Html:
    name = study.name(class_id)
    facts = tag("span", said, class_="soft")
    charts = tag("div", _four(study, by_name, class_id), class_="charts")
    return tag("details", tag("summary", tag("b", name), facts), charts, data_name=name)


def _four(study: Study, by_name: dict[str, Curves], class_id: int | None) -> Sequence[Html]:
    colours = styles(study)
    charts = []
    for column, (name, over) in COLUMNS.items():
        lines = []
        for contender in study.contenders:
            values = getattr(by_name[contender.name], column)
            point = contender.points.get(class_id) if class_id is not None and column == "f1" else None
            dot = (float(np.clip(point.threshold, 0, 1)), point.f1 or 0.0) if point and point.is_best else None
            lines.append(Line(values, colours[contender.name], contender.name, dot))
        charts.append(line_chart(name, over, lines))
    return charts
