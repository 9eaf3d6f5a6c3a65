"""The account of a data set's reading: nothing disappears without a count, a reason and an example."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from efficientdet.errors import DataError

FILE_NAME = "ledger.json"
FINDINGS_PER_REASON = 100


@dataclass(frozen=True, order=True)
class Finding:
    """One record that was not kept: `reason` is its class, `message` the sentence for the user."""

    reason: str
    file: str
    record: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}, {self.record}: {self.message}"


@dataclass
class Count:
    """Records of one kind; `read` = `kept` + `clipped` + all `dropped`. Kept records are unchanged."""

    kept: int = 0
    clipped: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def read(self) -> int:
        """Every record of the annotation file."""
        return self.kept + self.clipped + self.dropped.total()

    def __add__(self, other: Count) -> Count:
        return Count(self.kept + other.kept, self.clipped + other.clipped, self.dropped + other.dropped)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with `read` spelled out."""
        dropped = dict(sorted(self.dropped.items()))
        return {"read": self.read, "kept": self.kept, "clipped": self.clipped, "dropped": dropped}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Count:
        """The inverse of `to_dict`; raises DataError when the counts do not add up."""
        count = cls(values["kept"], values["clipped"], Counter(values["dropped"]))
        if count.read != values["read"]:
            raise DataError(f"ledger: kept + clipped + dropped is {count.read}, but {values['read']} were read")
        return count


@dataclass
class Ledger:
    """Counts of images and boxes, and the first findings of each reason in the order of file and record.

    Ledgers add up in any order to the same sum, so workers may each keep their own.
    """

    images: Count = field(default_factory=Count)
    boxes: Count = field(default_factory=Count)
    findings: list[Finding] = field(default_factory=list)

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(self.images + other.images, self.boxes + other.boxes, _first(self.findings + other.findings))

    def drop_image(self, finding: Finding, boxes: int) -> None:
        """Books an image as dropped, its boxes with it and for the same reason."""
        self.images.dropped[finding.reason] += 1
        if boxes:
            self.boxes.dropped[finding.reason] += boxes
        self.findings.append(finding)

    def drop_box(self, finding: Finding) -> None:
        """Books one box as dropped."""
        self.boxes.dropped[finding.reason] += 1
        self.findings.append(finding)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        findings = [vars(finding) for finding in self.findings]
        return {"images": self.images.to_dict(), "boxes": self.boxes.to_dict(), "findings": findings}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ledger:
        """The inverse of `to_dict`."""
        findings = [Finding(**finding) for finding in values["findings"]]
        return cls(Count.from_dict(values["images"]), Count.from_dict(values["boxes"]), findings)

    def require(self, split: str, max_bad_fraction: float, listed: str = "the ledger") -> None:
        """Raises DataError when no image is left, or more than that fraction of images or boxes was dropped.

        The sentence gives the count of each reason, the first record, and `listed`, where the others stand.
        """
        first = f"; first: {min(self.findings, key=_place)}" if self.findings else ""
        if not self.images.kept:
            raise DataError(f"split {split}: not one of {self.images.read} images can be used{first}")
        for kind, count in (("images", self.images), ("boxes", self.boxes)):
            dropped = count.dropped.total()
            if dropped > max_bad_fraction * count.read:
                reasons = ", ".join(f"{number} {reason}" for reason, number in count.dropped.most_common())
                raise DataError(
                    f"split {split}: {dropped} of {count.read} {kind} ({dropped / count.read:.1%}) cannot be used"
                    f" ({reasons}), above max_bad_fraction={max_bad_fraction:g}{first};"
                    f" mend what {listed} lists or raise max_bad_fraction"
                )


def to_json(splits: Mapping[str, Ledger]) -> str:
    """The text of `ledger.json`: `{"total": {images, boxes}, "splits": {NAME: {images, boxes, findings}}}`."""
    total = sum(splits.values(), Ledger()).to_dict()
    del total["findings"]
    entries = {split: ledger.to_dict() for split, ledger in splits.items()}
    return json.dumps({"total": total, "splits": entries}, ensure_ascii=False, indent=1) + "\n"


def load(folder: str | Path) -> dict[str, Ledger]:
    """The ledgers per split in `folder`/ledger.json; raises DataError when it is missing or does not add up."""
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        raise DataError(f"{path}: ledger not found; example generation writes it beside the examples")
    splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
    return {split: Ledger.from_dict(values) for split, values in splits.items()}


def _place(finding: Finding) -> tuple[str, str]:
    return finding.file, finding.record


def _first(findings: list[Finding]) -> list[Finding]:
    """The findings in order, the first hundred of each reason."""
    seen: Counter[str] = Counter()
    first = []
    for finding in sorted(findings):
        seen[finding.reason] += 1
        if seen[finding.reason] <= FINDINGS_PER_REASON:
            first.append(finding)
    return first
