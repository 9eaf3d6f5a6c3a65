"""How boxes are spread over classes and splits, and what is odd about that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from efficientdet.data.ledger import Finding
from efficientdet.label_map import Label, LabelMap

RARE = 10
MOST_STRANGE = 1000  # names that are not in the label map


@dataclass
class ClassCount:
    """Of a split: boxes and images per class id; boxes per category that is not in the label map, by name."""

    boxes: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)
    strange: Counter[str] = field(default_factory=Counter)

    def add(self, classes: Sequence[int]) -> None:
        """Counts the boxes of one image."""
        self.boxes.update(classes)
        self.images.update(set(classes))

    def add_strange(self, category: object) -> None:
        """Counts a box that no class is known for."""
        name = str(category)[:100]
        if name in self.strange or len(self.strange) < MOST_STRANGE:
            self.strange[name] += 1


def unbalanced(
    counts: Mapping[str, ClassCount], sources: Mapping[str, str], labels: LabelMap
) -> Iterator[tuple[str, Finding]]:
    """Findings about classes, each with the split it is about; the first split is the one that is trained on."""
    first, *others = counts
    yield from ((first, finding) for finding in alike(labels, sources[first]))
    for label in labels:
        boxes = {split: count.boxes[label.id] for split, count in counts.items()}
        record = f"class {label.name!r}"
        if not any(boxes.values()):
            said = "has no box in any split" if others else "has no box"
            yield first, _finding("class without boxes", sources[first], record, said)
            continue
        if not boxes[first]:
            said = f"has {boxes[(seen := next(s for s in others if boxes[s]))]} boxes in {seen}, but none in {first}"
            yield first, _finding("class not trained on", sources[first], record, said)
        elif boxes[first] < RARE:
            yield first, _finding("rare class", sources[first], record, f"has {boxes[first]} boxes in {first}")
        for split in others:
            if boxes[first] and not boxes[split]:
                said = f"has {boxes[first]} boxes in {first}, but none in {split}"
                yield split, _finding("class not judged", sources[split], record, said)


def alike(labels: LabelMap, source: str) -> Iterator[Finding]:
    """A Finding for each class whose name is that of an earlier one but for case, spaces, `-` and `_`."""
    earlier: dict[str, Label] = {}
    for label in labels:
        plain = "".join(label.name.casefold().replace("-", " ").replace("_", " ").split())
        before = earlier.setdefault(plain, label)
        if before is not label:
            said = f"is called nearly as class {before.name!r}"
            yield _finding("class names alike", source, f"class {label.name!r}", said)


def _finding(reason: str, file: str, record: str, message: str) -> Finding:
    return Finding(reason, file, record, message, "noted", "image")
