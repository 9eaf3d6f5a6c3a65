"""The likely label errors: close-ups of the likeliest, and a list of them all."""

from __future__ import annotations

from efficientdet.report.figure import FALSE, MISSED, Figure, Mark, close_up, context_marks, figure
from efficientdet.report.label_errors import MEANINGS, Suspect
from efficientdet.report.markup import Html, join, tag
from efficientdet.report.sections.figures import figures
from efficientdet.report.study import Study
from efficientdet.report.table import Number, table

SHOWN = 12
"""Pictures of each kind."""

Found = dict[str, list[Suspect]]


def suspect_figures(study: Study, found: Found) -> dict[str, list[Figure]]:
    """The pictures of each kind, the likeliest first."""
    return {
        kind: [_figure(study, rank, s) for rank, s in enumerate(listed[:SHOWN], 1)] for kind, listed in found.items()
    }


def label_errors(study: Study, found: Found, shown: dict[str, list[Figure]]) -> Html:
    """Each kind with its pictures and the list."""
    text = (
        "Places where a person should look at the annotations again, the likeliest first: by the mean score over all "
        "contenders, which is 0 for one that does not see it."
    )
    parts = [_kind(study, kind, found[kind], shown[kind]) for kind in MEANINGS if found[kind]]
    nothing = tag("p", "Nothing looks wrong.")
    return join(tag("h2", "Likely label errors", id="labels"), tag("p", text) if parts else nothing, parts)


def _kind(study: Study, kind: str, listed: list[Suspect], shown: list[Figure]) -> Html:
    header = ["rank", "image", "annotated as", "detected as", "suspicion", "box x, y, width, height"]
    rows = [[rank, *_row(study, suspect)] for rank, suspect in enumerate(listed, 1)]
    fold = tag("details", tag("summary", f"List of {len(rows)}"), table(header, rows, tall=len(rows) > 15))
    return join(tag("h3", kind), tag("p", MEANINGS[kind]), figures(study, shown), fold)


def _row(study: Study, suspect: Suspect) -> list[object]:
    annotated, seen = _names(study, suspect)
    box = ", ".join(f"{value:.1f}" for value in suspect.box.tolist())
    return [study.split.image_ids[suspect.image], annotated, seen, Number(suspect.suspicion), box]


def _figure(study: Study, rank: int, suspect: Suspect) -> Figure:
    truths = study.split.truths
    boxes = [suspect.box] + ([truths.boxes_xywh[suspect.truth]] if suspect.truth is not None else [])
    annotated, seen = _names(study, suspect)
    marks = context_marks(study, suspect.image, [] if suspect.truth is None else [suspect.truth])
    if suspect.truth is not None:
        x, y, width, height = truths.boxes_xywh[suspect.truth].tolist()
        marks.append(Mark((x, y, width, height), MISSED, annotated, suspect.seen is None))
        said = f"{annotated}, {suspect.suspicion:.0%} of the image"
    if suspect.seen is not None:
        x, y, width, height = suspect.box.tolist()
        marks.append(Mark((x, y, width, height), FALSE, f"{seen} {suspect.suspicion:.2f}", labelled=True))
        said = f"{seen} {suspect.suspicion:.2f}" + (f", annotated {annotated}" if annotated else "")
        if len(study.contenders) > 1:
            said += f", seen by {suspect.witnesses} of {len(study.contenders)}"
    caption = (f"{rank}. {study.split.image_ids[suspect.image]}", said)
    return figure(study, suspect.image, close_up(study, suspect.image, boxes), marks, caption)


def _names(study: Study, suspect: Suspect) -> tuple[str, str]:
    """What is annotated and what is detected; empty for nothing."""
    truth = suspect.truth
    annotated = "" if truth is None else study.name(int(study.split.truths.classes[truth]))
    return annotated, "" if suspect.seen is None else study.name(suspect.seen)
