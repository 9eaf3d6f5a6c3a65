"""The kinds of errors, what each costs, and how often it is seen."""

from __future__ import annotations

import numpy as np

from efficientdet.report.error_kinds import CLASSIFICATION, KINDS, LOCALISATION, MEANINGS, MISSED, Oracle
from efficientdet.report.markup import Html, join, tag
from efficientdet.report.study import Contender, Study
from efficientdet.report.table import Number, table


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
