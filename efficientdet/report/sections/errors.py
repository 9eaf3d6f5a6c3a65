"""The kinds of errors, what each costs, and how the scores are to be read."""

from __future__ import annotations

import numpy as np

from efficientdet.report.calibration import BINS, Calibration, calibrate
from efficientdet.report.chart import SIDE_X, SIDE_Y, chart, place, styles
from efficientdet.report.error_kinds import CLASSIFICATION, KINDS, LOCALISATION, MEANINGS, MISSED, Oracle
from efficientdet.report.markup import Html, join, tag
from efficientdet.report.panels import panels
from efficientdet.report.study import Contender, Study
from efficientdet.report.table import ABSENT, Number, count, table

LEAST_COUNT = 10
"""Detections of a bin that is worth a full colour."""


def error_kinds(study: Study) -> Html:
    """What AP50 would gain without the errors of each kind, and how many of them are shown."""
    text = (
        "The kinds of TIDE (arXiv:2008.08115). The gain is what AP50 would be more if all errors of that kind, and "
        "nothing else, were mended, at any score; the count is of those at the best thresholds."
    )
    columns = [_column(study, contender) for contender in study.contenders]
    names = [join(KINDS[kind], " ", tag("small", MEANINGS[kind], class_="why")) for kind in KINDS]
    names += [join(name, " ", tag("small", why, class_="why")) for name, why in TOGETHER]
    rows = [[name, *cells] for name, cells in zip(names, zip(*columns, strict=True), strict=True)]
    base = ["AP50 as it is", *(Number(contender.scores.metrics["AP50"]) for contender in study.contenders)]
    heads = [f"gain {contender.name}" for contender in study.contenders]
    return join(tag("h2", "Errors", id="errors"), tag("p", text), table(["error", *heads], rows, base))


TOGETHER = (("All false detections", "none were shown"), ("All missed objects", "only what was found had been there"))


def _column(study: Study, contender: Contender) -> list[Number]:
    oracle = Oracle(study.split, contender.detected, contender.assignment, contender.diagnosis)
    base = oracle.ap50()
    counts = error_counts(study, contender)
    gains = [(oracle.ap50([kind]), counts[kind]) for kind in KINDS]
    gains.append((oracle.ap50_without_false(), int(contender.false.sum())))
    gains.append((oracle.ap50_without_missed(), int((study.objects & ~contender.found).sum())))
    return [
        Number(
            None if value is None or base is None else max(value - base, 0.0),
            note=tag("small", f" {number}×"),
            bar=True,
        )
        for value, number in gains
    ]


def error_counts(study: Study, contender: Contender) -> dict[int, int]:
    """How many errors of each kind there are at the best thresholds."""
    diagnosis = contender.diagnosis
    kinds = diagnosis.kind[contender.false]
    explained = np.zeros(len(study.objects), bool)
    explained[diagnosis.target[contender.false & np.isin(diagnosis.kind, (CLASSIFICATION, LOCALISATION))]] = True
    missed = int((study.objects & ~contender.found & ~explained).sum())
    return {kind: missed if kind == MISSED else int((kinds == kind).sum()) for kind in KINDS}


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
