"""Which images to look at: the worst, those that one file loses against another, and the boldest of each error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from efficientdet.assignment import NOBODY
from efficientdet.report.error_kinds import KINDS, MEANINGS, MISSED
from efficientdet.report.figure import (
    Figure,
    annotation_mark,
    annotation_marks,
    close_up,
    context_marks,
    detection_mark,
    detection_marks,
    figure,
    whole,
)
from efficientdet.report.study import Contender, Study
from efficientdet.scored_image import CHAMPION_PREFIX

WORST, LOST, OF_A_KIND = 12, 4, 6


@dataclass(frozen=True)
class Gallery:
    """Figures under one title, the worst first."""

    title: str
    explanation: str
    figures: list[Figure]


def galleries(study: Study) -> list[Gallery]:
    """All galleries that have something to show: the first contender's, and where others differ from it."""
    if not study.contenders:
        return []
    first = study.contenders[0]
    shown = [_worst(study, first), *_lost(study), *(_of_kind(study, first, kind) for kind in KINDS if kind != MISSED)]
    return [gallery for gallery in [*shown, _missed(study, first)] if gallery.figures]


def errors(study: Study, contender: Contender) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """`[n]` found objects, false detections and missed objects of each image, at the thresholds of the table."""
    truths, found, n = study.split.truths, contender.found, len(study.split)
    columns = (
        truths.image[found],
        contender.detected.image[contender.false],
        truths.image[study.objects & ~found],
    )
    right, false, missed = (np.bincount(column, minlength=n) for column in columns)
    return right, false, missed


def _worst(study: Study, contender: Contender) -> Gallery:
    right, false, missed = errors(study, contender)
    wrong = false + missed
    badness = wrong * wrong / np.maximum(2 * right + wrong, 1)  # errors times 1 - F1
    explanation = f"The images in which {contender.name} has most errors, each counted by the image's 1 − F1."
    return Gallery("Worst images", explanation, _images(study, contender, badness, WORST))


def _lost(study: Study) -> Iterator[Gallery]:
    """What a variant loses against the first, and what it loses against the champion's."""
    by_name = {contender.name: contender for contender in study.contenders}
    first = study.contenders[0]
    for name, contender in by_name.items():
        worse, better = (by_name.get(name.removeprefix(CHAMPION_PREFIX), first), contender)
        if not name.startswith(CHAMPION_PREFIX):
            worse, better = contender, first
        if worse is better:
            continue
        loss = sum(errors(study, worse)[1:]) - sum(errors(study, better)[1:])
        title = f"Lost by {worse.name} against {better.name}"
        explanation = f"The images in which {worse.name} has most errors more than {better.name}; drawn: {worse.name}."
        yield Gallery(title, explanation, _images(study, worse, np.asarray(loss), LOST))


def _images(study: Study, contender: Contender, badness: NDArray, most: int) -> list[Figure]:
    """The images of largest positive badness."""
    right, false, missed = errors(study, contender)
    figures = []
    for image in np.argsort(-badness, kind="stable")[:most].tolist():
        if badness[image] <= 0:
            break
        marks = annotation_marks(study, contender, image) + detection_marks(study, contender, image)
        counts = f"missed {missed[image]}, false {false[image]}, found {right[image]}"
        figures.append(figure(study, image, whole(study, image), marks, (study.split.image_ids[image], counts)))
    return figures


def _of_kind(study: Study, contender: Contender, kind: int) -> Gallery:
    """The believed detections of highest score with that error, one of each image."""
    detected, diagnosis, truths = contender.detected, contender.diagnosis, study.split.truths
    sound = np.isfinite(detected.boxes_xywh).all(axis=1)
    rows = np.flatnonzero(contender.false & sound & (diagnosis.kind == kind))
    rows = rows[np.argsort(-detected.scores[rows], kind="stable")]
    figures = []
    for row in _one_per_image(rows, detected.image, OF_A_KIND):
        image, target = int(detected.image[row]), int(diagnosis.target[row])
        boxes, mark = [detected.boxes_xywh[row]], detection_mark(study, contender, row)
        marks, caption = context_marks(study, image, [target]), [study.split.image_ids[image], mark.label]
        if target != NOBODY:
            boxes.append(truths.boxes_xywh[target])
            marks.append(annotation_mark(study, contender, target)._replace(labelled=False))
            caption.append(f"object: {study.name(int(truths.classes[target]))}")
        figures.append(figure(study, image, close_up(study, image, boxes), (*marks, mark), caption))
    return Gallery(f"Errors of kind {KINDS[kind]}", f"Highest scores first: {MEANINGS[kind]}.", figures)


def _missed(study: Study, contender: Contender) -> Gallery:
    """The largest missed objects in parts of their image, one of each image."""
    truths = study.split.truths
    rows = np.flatnonzero(contender.diagnosis.missed)
    rows = rows[np.argsort(-relative_area(study)[rows], kind="stable")]
    figures = []
    for row in _one_per_image(rows, truths.image, OF_A_KIND):
        image, mark = int(truths.image[row]), annotation_mark(study, contender, row)
        marks = (*context_marks(study, image, [row]), mark)
        caption = (study.split.image_ids[image], mark.label)
        figures.append(figure(study, image, close_up(study, image, [truths.boxes_xywh[row]]), marks, caption))
    return Gallery(f"Errors of kind {KINDS[MISSED]}", f"Largest first: {MEANINGS[MISSED]}.", figures)


def relative_area(study: Study) -> NDArray[np.float64]:
    """`[g]` the box of each annotation as a part of its image."""
    truths, sizes = study.split.truths, study.split.sizes
    sides = truths.boxes_xywh[:, 2:] / np.maximum(sizes[truths.image][:, ::-1], 1)
    return np.nan_to_num(sides.prod(axis=1))


def _one_per_image(rows: NDArray[np.int64], image: NDArray[np.int32], most: int) -> list[int]:
    chosen = {int(image[row]): int(row) for row in reversed(rows.tolist())}
    first = set(chosen.values())
    return [row for row in rows.tolist() if row in first][:most]
