"""COCO's numbers, contenders side by side: over all classes, and class by class."""

from __future__ import annotations

from efficientdet.coco_metric import COCO_METRICS
from efficientdet.report.markup import Html, join, tag, text
from efficientdet.report.panels import panels
from efficientdet.report.study import Contender, Study
from efficientdet.report.table import Number, count, difference, table

MEANINGS = dict(
    zip(
        COCO_METRICS,
        (
            "IoU .50 to .95",
            "IoU .50",
            "IoU .75",
            "small objects",
            "medium objects",
            "large objects",
            "1 per image",
            "10 per image",
            "100 per image",
            "small objects",
            "medium objects",
            "large objects",
        ),
        strict=True,
    )
)
TALL = 15
"""Rows, above which a table scrolls by itself."""


def scores(study: Study) -> Html:
    """COCO's twelve numbers of every contender, with the difference from the first."""
    first = study.contenders[0]
    rows = [
        [
            join(name, " ", tag("small", MEANINGS[name])),
            *(
                _against(contender.scores.metrics[name], first.scores.metrics[name], contender is first, bar=True)
                for contender in study.contenders
            ),
        ]
        for name in COCO_METRICS
    ]
    return join(
        tag("h2", "Scores", id="scores"),
        tag(
            "p",
            "COCO's twelve numbers over all images of the split. Small print: the difference from ",
            first.name,
            ".",
        )
        if len(study.contenders) > 1
        else tag("p", "COCO's twelve numbers over all images of the split."),
        table(["", *(contender.name for contender in study.contenders)], rows),
    )


def classes(study: Study) -> Html:
    """AP of each class side by side, and in a fold all twelve numbers of each."""
    first = study.contenders[0]
    rows = [
        [
            study.name(class_id),
            count(positives),
            *(
                _against(_ap(contender, class_id), _ap(first, class_id), contender is first, bar=contender is first)
                for contender in study.contenders
            ),
        ]
        for class_id, positives in study.positives.items()
        if class_id in study.shown_classes
    ]
    header = ["class", "objects", *(f"AP {contender.name}" for contender in study.contenders)]
    every = tag(
        "details", tag("summary", "All twelve numbers of each class"), panels(study, lambda c: _twelve(study, c))
    )
    return join(
        tag("h2", "Classes", id="classes"),
        tag("p", "AP of each class.", study.left_out(len(rows), len(study.positives))),
        table(header, rows, sortable=True, tall=len(rows) > TALL) if rows else tag("p", "The split holds no object."),
        _absent(study),
        every if rows else None,
    )


def _twelve(study: Study, contender: Contender) -> Html:
    rows = [
        [
            study.name(class_id),
            *(Number(contender.scores.per_class.get(class_id, {}).get(name)) for name in COCO_METRICS),
        ]
        for class_id in study.positives
        if class_id in study.shown_classes
    ]
    return table(["class", *COCO_METRICS], rows, sortable=True, tall=len(rows) > TALL)


def _absent(study: Study) -> Html | None:
    names = [study.name(label.id) for label in study.label_map if label.id not in study.positives]
    if not names:
        return None
    said = f"{len(names)} of {len(study.label_map)} classes have no object in the split, and so no number: "
    rest = len(names) - study.limits.names
    listed = ", ".join(names[: study.limits.names]) + (f" and {rest} others" if rest > 0 else "")
    return tag("p", said, text(listed, limit=len(listed)), ".", class_="soft")


def _ap(contender: Contender, class_id: int) -> float | None:
    return contender.scores.per_class.get(class_id, {}).get("AP")


def _against(value: float | None, first: float | None, is_first: bool, bar: bool) -> Number:
    return Number(value, note=None if is_first else difference(value, first), bar=bar)
