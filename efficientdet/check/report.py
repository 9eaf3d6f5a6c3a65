"""What a check found, in a memory that does not depend on how much there was to find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efficientdet.check.box_sample import BoxSample
from efficientdet.check.class_balance import ClassCount
from efficientdet.check.histogram import LogHistogram
from efficientdet.check.problem import PROBLEMS, SEVERITIES, Problem, Severity, problem_of
from efficientdet.check.spill import storable
from efficientdet.data.ledger import Count, Finding, Ledger

if TYPE_CHECKING:
    from efficientdet.anchor_suggestion import AnchorSuggestion
    from efficientdet.check.picture import Picture
    from efficientdet.check.rules import Admitted
    from efficientdet.label_map import LabelMap

EXAMPLES = 20
PICTURES = 12
FORMAT = 1


@dataclass
class SplitReport:
    """Counts of one split.

    ledger: what became of its images and boxes; its findings are in the cases. empty: usable images without a box to
    train on. most: the most such boxes of one image.
    """

    source: str
    ledger: Ledger = field(default_factory=Ledger)
    classes: ClassCount = field(default_factory=ClassCount)
    empty: int = 0
    most: int = 0


@dataclass
class Case:
    """All findings of one problem: how many there are per split, and the first of each."""

    problem: Problem
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[str, Finding]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def add(self, split: str, finding: Finding) -> None:
        """Counts a finding."""
        self.counts[split] += 1
        if self.counts[split] <= EXAMPLES:
            file, record, message = map(storable, finding.place)
            self.examples.append((split, replace(finding, file=file, record=record, message=message)))

    @property
    def wants_picture(self) -> bool:
        """Whether there is room for another picture."""
        return len(self.pictures) < PICTURES

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        problem, places = self.problem, ("file", "record", "message")
        return {
            **{key: getattr(problem, key) for key in ("code", "name", "severity", "rule", "remedy")},
            "count": self.counts.total(),
            "splits": dict(self.counts),
            "examples": [
                {"split": split} | {key: getattr(finding, key) for key in places} for split, finding in self.examples
            ],
        }


@dataclass
class Report:
    """Everything that was found; filled by `efficientdet.check.inspection`.

    sizes: roots of the boxes' areas, pixels of the network input; aspects: width over height. Both count the boxes
    to train on, and mark those that no anchor matches. sample: heights and widths of boxes in the network input.
    """

    labels: LabelMap
    model: str
    splits: dict[str, SplitReport]
    cases: dict[str, Case] = field(default_factory=dict)
    sizes: LogHistogram = field(default_factory=lambda: LogHistogram(-2, 11, 2))
    aspects: LogHistogram = field(default_factory=lambda: LogHistogram(-4, 4, 3))
    sample: BoxSample = field(default_factory=BoxSample)
    suggestion: AnchorSuggestion | None = None
    fixed: Sequence[Path] = ()

    def add(self, split: str, finding: Finding) -> Case:
        """Counts a finding; the case that it belongs to."""
        problem = problem_of(finding.reason)
        case = self.cases.setdefault(problem.code, Case(problem))
        case.add(split, finding)
        return case

    def add_image(self, split: str, admitted: Admitted) -> None:
        """Counts a usable image and its boxes to train on."""
        counts, learnt = self.splits[split], admitted.learnt
        boxes = int(learnt.sum())
        counts.empty += boxes == 0
        counts.most = max(counts.most, boxes)
        counts.classes.add(admitted.image.classes[learnt].tolist())
        sides, unmatched = admitted.sides[learnt], admitted.unmatched[learnt]
        self.sizes.add(sides.prod(axis=1) ** 0.5, unmatched)
        self.aspects.add(sides[:, 1] / sides[:, 0], unmatched)
        self.sample.add(sides)

    def sorted_cases(self) -> list[Case]:
        """Errors first, then by code."""
        order = {problem.code: place for place, problem in enumerate(PROBLEMS)}
        return sorted(self.cases.values(), key=lambda c: (SEVERITIES.index(c.problem.severity), order[c.problem.code]))

    def count(self, severity: Severity) -> int:
        """How many findings of a severity there are."""
        return sum(case.counts.total() for case in self.cases.values() if case.problem.severity == severity)

    @property
    def images(self) -> int:
        """Images read."""
        return sum(split.ledger.images.read for split in self.splits.values())

    def boxes_by_name(self) -> dict[str, int]:
        """Every class of the label map with the number of its boxes; then categories that it lacks."""
        total = sum((split.classes.boxes for split in self.splits.values()), Counter[int]())
        return {label.name: total[label.id] for label in self.labels} | self.strange_boxes()

    def strange_boxes(self) -> dict[str, int]:
        """Boxes per category that the label map lacks."""
        strange = sum((split.classes.strange for split in self.splits.values()), Counter[str]())
        return {f"class {name} (not in the label map)": strange[name] for name in sorted(strange)}

    def verdict(self, strict: bool = False) -> str | None:
        """What speaks against the data set, in a sentence; None when nothing does. `strict` counts warnings too."""
        counted: tuple[Severity, ...] = ("error", "warning") if strict else ("error",)
        numbers = {severity: self.count(severity) for severity in counted}
        found = [f"{number} {severity}{'s' * (number > 1)}" for severity, number in numbers.items() if number]
        codes = [case.problem.code for case in self.sorted_cases() if case.problem.severity in counted]
        if not found:
            return None
        return f"the data set has {' and '.join(found)} ({', '.join(codes)}); docs/checks.md says what to do"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; docs/checks.md describes it."""
        suggestion = self.suggestion
        return {
            "format": FORMAT,
            "model": self.model,
            "images": self.images,
            "images_without_boxes": sum(split.empty for split in self.splits.values()),
            "most_boxes": max(split.most for split in self.splits.values()),
            "boxes": self.boxes_by_name(),
            "anchors": asdict(suggestion) | {"hparams": suggestion.hparams} if suggestion else None,
            "findings": {severity: self.count(severity) for severity in SEVERITIES},
            "problems": [case.to_dict() for case in self.sorted_cases()],
            "splits": {name: _split_dict(split) for name, split in self.splits.items()},
            "classes": [
                {
                    "name": label.name,
                    "boxes": {name: split.classes.boxes[label.id] for name, split in self.splits.items()},
                    "images": {name: split.classes.images[label.id] for name, split in self.splits.items()},
                }
                for label in self.labels
            ],
            "histograms": {"box_size": self.sizes.to_dict(), "aspect_ratio": self.aspects.to_dict()},
            "fixed": [str(path) for path in self.fixed],
        }


def _split_dict(split: SplitReport) -> dict[str, Any]:
    counts: dict[str, Count] = {"images": split.ledger.images, "boxes": split.ledger.boxes}
    return {"source": split.source, **{kind: count.to_dict() for kind, count in counts.items()}}
