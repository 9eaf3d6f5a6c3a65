"""Where the annotations are likely wrong: what the contenders see together, and the annotator did not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from efficientdet.assignment import MATCH_IOU, iou_xywh
from efficientdet.report.error_kinds import BACKGROUND, CLASSIFICATION
from efficientdet.report.gallery import relative_area
from efficientdet.report.study import Contender, Study

MOST = 100
"""Of each kind."""
UNLABELLED, WRONG_CLASS, NEVER_FOUND = "Not annotated?", "Another class?", "Is it there?"
MEANINGS = {
    UNLABELLED: "A confident detection, and no annotation near it.",
    WRONG_CLASS: "An annotation that is found well, and confidently called something else.",
    NEVER_FOUND: "An annotation that no detection of any contender overlaps by 0.5, at any score; largest first.",
}


@dataclass(frozen=True)
class Suspect:
    """One place to look at again.

    kind: UNLABELLED, WRONG_CLASS or NEVER_FOUND. image: place in the split. box `[4]` x, y, width, height: of the
    detection, of NEVER_FOUND of the annotation. seen: class id that was detected, None for NEVER_FOUND. truth: row of
    the annotation, None for UNLABELLED. suspicion: the mean score over all contenders, 0 for those that do not detect
    it; of NEVER_FOUND the part of the image that the box covers. witnesses: contenders that detect it.
    """

    kind: str
    image: int
    box: NDArray[np.float64]
    seen: int | None
    truth: int | None
    suspicion: float
    witnesses: int


def suspects(study: Study) -> dict[str, list[Suspect]]:
    """The likely label errors of each kind, the likeliest first, at most MOST."""
    found = {
        UNLABELLED: _detected(study, UNLABELLED, BACKGROUND),
        WRONG_CLASS: _detected(study, WRONG_CLASS, CLASSIFICATION),
        NEVER_FOUND: list(_never_found(study)),
    }
    return {kind: sorted(listed, key=lambda s: -s.suspicion)[:MOST] for kind, listed in found.items()}


@dataclass
class _Place:
    """Detections of one class at one place: the best score of each contender."""

    box: NDArray[np.float64]
    truth: int | None
    scores: dict[str, float] = field(default_factory=dict)


def _detected(study: Study, kind: str, error: int) -> list[Suspect]:
    places: dict[tuple[int, int], list[_Place]] = defaultdict(list)
    for contender in study.contenders:
        for row in _boldest(study, contender, error):
            image, seen = int(contender.detected.image[row]), int(contender.detected.classes[row])
            truth = int(contender.diagnosis.target[row]) if error == CLASSIFICATION else None
            place = _place(places[image, seen], contender.detected.boxes_xywh[row], truth)
            place.scores.setdefault(contender.name, float(contender.detected.scores[row]))
    contenders = max(len(study.contenders), 1)
    return [
        Suspect(kind, image, place.box, seen, place.truth, sum(place.scores.values()) / contenders, len(place.scores))
        for (image, seen), listed in places.items()
        for place in listed
    ]


def _boldest(study: Study, contender: Contender, error: int) -> list[int]:
    """The believed detections with that error, by falling score; not of an object that is found as annotated."""
    wanted = contender.false & (contender.diagnosis.kind == error)
    wanted &= np.isfinite(contender.detected.boxes_xywh).all(axis=1)
    if error == CLASSIFICATION:
        found = contender.found
        wanted[wanted] = ~found[contender.diagnosis.target[wanted]]
    rows = np.flatnonzero(wanted)
    return rows[np.argsort(-contender.detected.scores[rows], kind="stable")][: 3 * MOST].tolist()


def _place(known: list[_Place], box: NDArray[np.float64], truth: int | None) -> _Place:
    """The place where the box lies, a new one if it is at none."""
    for place in known:
        if place.truth == truth and iou_xywh(box[None], place.box[None], np.zeros(1, bool))[0, 0] >= MATCH_IOU:
            return place
    known.append(_Place(box, truth))
    return known[-1]


def _never_found(study: Study) -> Iterator[Suspect]:
    """Nothing, if nothing was detected at all."""
    truths = study.split.truths
    lonely = study.objects.copy()
    for contender in study.contenders:
        overlaps = contender.assignment.overlaps
        lonely[overlaps.truth[overlaps.iou >= MATCH_IOU]] = False
    if not any(len(contender.detected.scores) for contender in study.contenders):
        return
    area = relative_area(study)
    rows = np.flatnonzero(lonely)
    for row in rows[np.argsort(-area[rows], kind="stable")][:MOST].tolist():
        yield Suspect(NEVER_FOUND, int(truths.image[row]), truths.boxes_xywh[row], None, row, float(area[row]), 0)
