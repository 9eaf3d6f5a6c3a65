from __future__ import annotations

from collections import Counter

from efficientdet.data.ledger import Count, Finding, Ledger
from efficientdet.report.sections.ledger import MOST_FINDINGS, data_ledger


def test_what_became_of_the_records(read) -> None:
    finding = Finding("zero-area box", "annotations/<b>.json", "image 7", "the box has no area")
    boxes = Count(10, 7, Counter({"over the border": 2}), Counter(), Counter({"zero-area box": 1}))
    page = read(data_ledger({"train": Ledger(Count(4, 4), boxes, [finding]), "val": Ledger(Count(1, 1))}))
    counts, reasons, findings = page.tables
    assert counts == [
        ["split", "", "read", "kept as is", "clipped", "merged", "dropped"],
        ["train", "images", "4", "4", "0", "0", "0"],
        ["train", "boxes", "10", "7", "2", "0", "1"],
        ["val", "images", "1", "1", "0", "0", "0"],
        ["val", "boxes", "0", "0", "0", "0", "0"],
    ]
    assert reasons[1:] == [["over the border", "boxes", "clipped", "2"], ["zero-area box", "boxes", "dropped", "1"]]
    assert findings[1] == ["<b>.json, image 7", "dropped", "the box has no area"]


def test_only_the_first_findings(read) -> None:
    findings = [Finding("cut off", "a.json", f"image {i}", "why", "clipped") for i in range(80)]
    boxes = Count(80, 0, Counter({"cut off": 80}))
    page = read(data_ledger({"train": Ledger(Count(), boxes, findings)}))
    assert f"The first {MOST_FINDINGS} of 80 records listed:" in page.text
    assert len(page.tables[2]) == MOST_FINDINGS + 1
