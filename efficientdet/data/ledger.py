"""The account of a data set's reading: nothing disappears without a count, a reason and an example."""

from __future__ import annotations

import json
from bisect import bisect, bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from efficientdet.errors import DataError, printable

FILE_NAME = "ledger.json"
CHANGES_FOLDER = "changes"
FINDINGS_PER_REASON = 100
LONGEST_TEXT = 1000
"""Characters of what a finding says."""

Outcome = Literal["clipped", "merged", "dropped", "noted"]


@dataclass(frozen=True)
class Finding:
    """One record that was not kept as it is.

    reason: its class. file, record: where a person finds it (`image 7 (a.jpg), annotation 12`). message: the sentence
    for the user. outcome: what became of it; `noted` records are kept, and something about them was changed or is
    odd. of: what the record is. kept: of a clipped box the fraction of its area that is left.
    """

    reason: str
    file: str
    record: str
    message: str
    outcome: Outcome = "dropped"
    of: Literal["image", "box"] = "box"
    kept: float | None = None

    def __post_init__(self) -> None:
        # What a data set calls its files need not be text; what is shown and written must be.
        for name in ("file", "record", "message"):
            object.__setattr__(self, name, printable(getattr(self, name), LONGEST_TEXT))

    def __str__(self) -> str:
        return f"{self.file}, {self.record}: {self.message}"

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it stands; the order of findings."""
        return self.file, self.record, self.message

    def to_json(self) -> str:
        """One line of a list of all changes."""
        return json.dumps({key: value for key, value in asdict(self).items() if value is not None}, ensure_ascii=False)


@dataclass
class Count:
    """Records of one kind: `read` = `kept` + all `clipped` + all `merged` + all `dropped`.

    `read` is counted by the reader of the file, the others where each record's fate is decided. Kept records are
    unchanged; `noted` ones are among them.
    """

    read: int = 0
    kept: int = 0
    clipped: Counter[str] = field(default_factory=Counter)
    merged: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Count) -> Count:
        return Count(
            self.read + other.read,
            self.kept + other.kept,
            self.clipped + other.clipped,
            self.merged + other.merged,
            self.dropped + other.dropped,
            self.noted + other.noted,
        )

    @property
    def accounted(self) -> int:
        """Records whose fate is known."""
        return self.kept + self.clipped.total() + self.merged.total() + self.dropped.total()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        counters = {name: dict(sorted(getattr(self, name).items())) for name in _COUNTERS}
        return {"read": self.read, "kept": self.kept, **counters}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Count:
        """The inverse of `to_dict`."""
        return cls(values["read"], values["kept"], *(Counter(values[name]) for name in _COUNTERS))

    def __str__(self) -> str:
        """`10 = 7 kept + 2 clipped (over the border) + 1 dropped (zero-area box)`."""
        parts = [f"{self.kept} kept"]
        for name in ("clipped", "merged", "dropped"):
            counter: Counter[str] = getattr(self, name)
            if counter:
                reasons = ", ".join(f"{n} {reason}" for reason, n in counter.most_common())
                parts.append(f"{counter.total()} {name} ({reasons})")
        return f"{self.read} = {' + '.join(parts)}"


_COUNTERS = ("clipped", "merged", "dropped", "noted")


@dataclass
class Ledger:
    """Counts of images and boxes, and the first findings of each reason in the order of file and record.

    Ledgers add up in any order to the same sum, so workers may each keep their own. One that no other was added to
    holds all of its findings.
    """

    images: Count = field(default_factory=Count)
    boxes: Count = field(default_factory=Count)
    findings: list[Finding] = field(default_factory=list)
    is_sum: bool = field(default=False, compare=False, repr=False)

    def __add__(self, other: Ledger) -> Ledger:
        few, many = sorted((self, other), key=lambda ledger: len(ledger.findings))
        findings = list(many.findings) if many.is_sum else _first(many.findings)
        # Entry by entry, since sums have many and what is added to them few.
        for finding in few.findings:
            insort(findings, finding, key=_order)
            start, end = bisect_left(findings, _kind(finding), key=_kind), bisect(findings, _kind(finding), key=_kind)
            del findings[start + FINDINGS_PER_REASON : end]
        return Ledger(self.images + other.images, self.boxes + other.boxes, findings, is_sum=True)

    def book(self, finding: Finding) -> None:
        """Enters one record that was not kept as it is."""
        count = self.images if finding.of == "image" else self.boxes
        counter: Counter[str] = getattr(count, finding.outcome)
        counter[finding.reason] += 1
        self.findings.append(finding)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        findings = [asdict(finding) for finding in self.findings]
        return {"images": self.images.to_dict(), "boxes": self.boxes.to_dict(), "findings": findings}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ledger:
        """The inverse of `to_dict`."""
        findings = [Finding(**finding) for finding in values["findings"]]
        return cls(Count.from_dict(values["images"]), Count.from_dict(values["boxes"]), findings)

    def require_balance(self, split: str) -> None:
        """Raises DataError unless every record that was read is accounted for."""
        for kind, count in (("images", self.images), ("boxes", self.boxes)):
            if count.read != count.accounted:
                raise DataError(
                    f"split {split}: {count.read} {kind} were read, but {count.accounted} are accounted for"
                    f" ({count}); this is a fault of the reader, please report it"
                )

    def require(self, split: str, max_bad_fraction: float, listed: str = "the ledger") -> None:
        """Raises DataError when no image is left, or more than that fraction of images or boxes was dropped.

        The sentence gives the count of each reason, the first record, and `listed`, where the others stand.
        """
        dropped = [finding for finding in self.findings if finding.outcome == "dropped"]
        first = f"; first: {min(dropped, key=lambda finding: finding.place)}" if dropped else ""
        if not self.images.kept:
            raise DataError(f"split {split}: not one of {self.images.read} images can be used{first}")
        for kind, count in (("images", self.images), ("boxes", self.boxes)):
            lost = count.dropped.total()
            if lost > max_bad_fraction * count.read:
                reasons = ", ".join(f"{number} {reason}" for reason, number in count.dropped.most_common())
                raise DataError(
                    f"split {split}: {lost} of {count.read} {kind} ({lost / count.read:.1%}) cannot be used"
                    f" ({reasons}), above max_bad_fraction={max_bad_fraction:g}{first};"
                    f" mend what {listed} lists or raise max_bad_fraction"
                )

    def __str__(self) -> str:
        """The account in one line, with the first record that was dropped."""
        dropped = [finding for finding in self.findings if finding.outcome == "dropped"]
        first = f"; first: {min(dropped, key=lambda finding: finding.place)}" if dropped else ""
        return f"images {self.images}; boxes {self.boxes}{first}"


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
    ledgers = {split: Ledger.from_dict(values) for split, values in splits.items()}
    for split, ledger in ledgers.items():
        ledger.require_balance(split)
    return ledgers


def _first(findings: list[Finding]) -> list[Finding]:
    """The findings in order, the first hundred of each kind."""
    kinds = groupby(sorted(findings, key=_order), key=_kind)
    return [finding for _, alike in kinds for finding in islice(alike, FINDINGS_PER_REASON)]


_kind = attrgetter("of", "outcome", "reason")
_order = attrgetter("of", "outcome", "reason", "file", "record", "message")
