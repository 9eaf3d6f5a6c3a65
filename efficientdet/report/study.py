"""What every part of the report looks at: the split, its classes, and each contender at its best thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from efficientdet.assignment import Assignment, assign
from efficientdet.best_threshold import DEFAULT_THRESHOLD, WorkingPoint, working_points
from efficientdet.coco_metric import CocoAccumulator, CocoScores, Groundtruth, match_image
from efficientdet.errors import printable
from efficientdet.label_map import LabelMap
from efficientdet.report.error_kinds import Diagnosis, diagnose
from efficientdet.report.limits import Limits
from efficientdet.scored_image import ScoredImage
from efficientdet.scored_split import Detected, ScoredSplit, gather

LONGEST_NAME = 60


@dataclass(frozen=True)
class Contender:
    """One file's detections and what became of them.

    points: by class id. kept `[d]` bool: whether the score reaches the best threshold of its class, and it counts.
    found `[g]` bool: objects that a kept detection found.
    """

    name: str
    detected: Detected
    assignment: Assignment
    diagnosis: Diagnosis
    scores: CocoScores
    points: dict[int, WorkingPoint]
    kept: NDArray[np.bool_]
    found: NDArray[np.bool_]

    @cached_property
    def true(self) -> NDArray[np.bool_]:
        """`[d]` whether it is kept and found an object."""
        return self.kept & self.assignment.true

    @cached_property
    def false(self) -> NDArray[np.bool_]:
        """`[d]` whether it is kept and found none."""
        return self.kept & self.assignment.false


@dataclass(frozen=True)
class Study:
    """A split and its contenders, the first of which is the one that galleries show; and how much is shown of it."""

    split: ScoredSplit
    label_map: LabelMap
    contenders: list[Contender]
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def objects(self) -> NDArray[np.bool_]:
        """`[g]` annotations that are to be found: those that are no crowd."""
        return ~self.split.truths.is_crowd

    @cached_property
    def positives(self) -> dict[int, int]:
        """How many objects each class has that has any, in order of the class ids."""
        classes, counts = np.unique(self.split.truths.classes[self.objects], return_counts=True)
        return dict(zip(classes.tolist(), counts.tolist(), strict=True))

    @cached_property
    def shown_classes(self) -> set[int]:
        """The classes with most objects, as many as a table has rows."""
        most_first = sorted(self.positives, key=lambda class_id: -self.positives[class_id])
        return set(most_first[: self.limits.rows])

    def left_out(self, shown: int, of: int) -> str:
        """A sentence about the classes of a table that are not in it."""
        return (
            f" Shown are the {shown} classes with most objects; {of - shown} others are left out." if of > shown else ""
        )

    @cached_property
    def _names(self) -> dict[int, str]:
        return {label.id: printable(label.name, LONGEST_NAME) for label in self.label_map}

    def name(self, class_id: int) -> str:
        """What a class is called, at most LONGEST_NAME characters; `class 7` for one that the label map lacks."""
        return self._names.get(class_id, f"class {class_id}")


def study(images: Iterable[ScoredImage], label_map: LabelMap) -> Study:
    """Looks at every detection of every contender once; `images` are read once."""
    split = gather(images)
    return Study(split, label_map, [_contender(split, name) for name in split.contenders])


def _contender(split: ScoredSplit, name: str) -> Contender:
    detected, assignment = split.contenders[name], assign(split, name)
    points = working_points(detected, assignment, split.truths)
    thresholds = np.full(max(points, default=0) + 1, DEFAULT_THRESHOLD)
    for class_id, point in points.items():
        thresholds[class_id] = point.threshold
    kept = ~assignment.ignored & (detected.scores >= thresholds[detected.classes])
    found = np.zeros(len(split.truths.classes), bool)
    found[assignment.truth[kept & assignment.true]] = True
    diagnosis = diagnose(split, detected, assignment)
    return Contender(name, detected, assignment, diagnosis, _coco_scores(split, detected), points, kept, found)


def _coco_scores(split: ScoredSplit, detected: Detected) -> CocoScores:
    accumulator, truths = CocoAccumulator(), split.truths
    d_starts, g_starts = split.starts(detected.image).tolist(), split.starts(truths.image).tolist()
    for i, image_id in enumerate(split.image_ids):
        own, theirs = slice(*d_starts[i : i + 2]), slice(*g_starts[i : i + 2])
        truth = Groundtruth(*(column[theirs] for column in truths[1:]))
        columns = (detected.boxes_xywh, detected.classes, detected.scores)
        accumulator.add(match_image(image_id, truth, *(column[own] for column in columns)))
    return accumulator.compute()
