"""How the scores are to be read: reliability of each contender."""

from __future__ import annotations

from efficientdet.report.calibration import BINS, Calibration, calibrate
from efficientdet.report.chart import SIDE_X, SIDE_Y, chart, place, styles
from efficientdet.report.markup import Html, join, tag
from efficientdet.report.panels import panels
from efficientdet.report.study import Contender, Study
from efficientdet.report.table import ABSENT, Number, count, table

LEAST_COUNT = 10
"""Detections of a bin that is worth a full colour."""


def calibration(study: Study) -> Html:
    """Reliability of each contender's scores."""
    text = (
        "Of the detections with a score in each tenth, the part that found an object (bars), against the mean score "
        "(broken line: as it should be). ECE is the mean distance of the two over all detections; pale bars stand for "
        f"fewer than {LEAST_COUNT}."
    )
    charts = (_reliability(contender, styles(study)[contender.name]) for contender in study.contenders)
    bins = tag("details", tag("summary", "The bins in numbers"), panels(study, lambda c: _bins(calibrate(c))))
    return join(tag("h2", "Calibration", id="calibration"), tag("p", text), tag("div", charts, class_="charts"), bins)


def _bins(calibrated: Calibration) -> Html:
    columns = (calibrated.counts.tolist(), calibrated.scores.tolist(), calibrated.precisions.tolist())
    rows = [
        [f"{i / BINS:g} to {(i + 1) / BINS:g}", count(number), *(Number(v if number else None) for v in values)]
        for i, (number, *values) in enumerate(zip(*columns, strict=True))
    ]
    return table(["score", "detections", "mean score", "precision"], rows)


def _reliability(contender: Contender, style: str) -> Html:
    calibrated = calibrate(contender)
    error = calibrated.expected_error
    shown = ABSENT if error is None else f"{error:.3f}"
    return chart(contender.name, f"ECE {shown}", tag("g", _bars(calibrated), class_=style), _IDEAL)


_IDEAL = tag("path", d=f"M0 {SIDE_Y}L{SIDE_X} 0", class_="ideal")


def _bars(calibrated: Calibration) -> list[Html]:
    bars = []
    columns = (calibrated.counts.tolist(), calibrated.scores.tolist(), calibrated.precisions.tolist())
    for i, (number, score, precision) in enumerate(zip(*columns, strict=True)):
        if not number:
            continue
        (x, y), (right, _) = place(i / BINS, precision), place((i + 1) / BINS, 0)
        title = tag("title", f"{number} detections: score {score:.3f}, precision {precision:.3f}")
        paleness = None if number >= LEAST_COUNT else "0.3"
        size = {"x": x + 1, "y": y, "width": right - x - 2, "height": max(SIDE_Y - y, 1)}
        bars.append(tag("rect", title, **size, class_="column", fill_opacity=paleness))
    return bars
