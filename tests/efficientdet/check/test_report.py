"""The account of a check as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

from efficientdet.check.problem import SEVERITIES

DOCS = Path(__file__).parents[3] / "docs/checks.md"


def test_the_json_says_what_was_found(data) -> None:
    train = data.splits["train"]["annotations"]
    train[0]["bbox"] = [1, 1, 0, 5]
    train[2]["bbox"] = [100, 10, 60, 60]
    report = data.check()
    written = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert written["findings"] == {"error": 1, "warning": 1, "info": 0}
    assert [problem["code"] for problem in written["problems"]] == ["B303", "B305"]
    first = written["problems"][0]
    assert (first["name"], first["severity"], first["count"], first["splits"]) == (
        "zero-area box",
        "error",
        1,
        {"train": 1},
    )
    [example] = first["examples"]
    assert example["split"] == "train"
    assert example["file"] == str(data.root / "train.json")
    assert example["record"] == "image 1 (1.png), annotation 1"
    boxes = written["splits"]["train"]["boxes"]
    assert (boxes["read"], boxes["kept"]) == (24, 22)
    assert boxes["dropped"] == {"zero-area box": 1}
    assert boxes["clipped"] == {"over the border": 1}
    assert written["classes"][0] == {"name": "cat", "boxes": {"train": 11, "val": 3}, "images": {"train": 11, "val": 3}}
    for histogram in written["histograms"].values():
        assert len(histogram["edges"]) == len(histogram["boxes"]) + 1 == len(histogram["unmatched"]) + 1
        assert sum(histogram["boxes"]) == 29


def test_every_key_is_documented(data) -> None:
    documented = set(re.findall(r"`([a-z_]+)`", DOCS.read_text().split("## The JSON report")[1]))
    report = data.check().to_dict()
    keys = {
        *report,
        *report["anchors"],
        *report["anchors"]["current"],
        *report["splits"]["train"],
        *report["classes"][0],
    }
    keys |= {*report["histograms"], *report["histograms"]["box_size"], *report["splits"]["train"]["boxes"]}
    assert keys <= documented


def test_the_verdict_names_the_codes(data) -> None:
    train = data.splits["train"]["annotations"]
    train[2]["bbox"] = [100, 10, 60, 60]
    report = data.check()
    assert report.verdict() is None
    assert report.verdict(strict=True) == "the data set has 1 warning (B305); docs/checks.md says what to do"
    train[0]["bbox"] = [1, 1, 0, 5]
    report = data.check()
    assert report.verdict() == "the data set has 1 error (B303); docs/checks.md says what to do"
    assert "1 error and 1 warning (B303, B305)" in str(report.verdict(strict=True))
    assert [case.problem.severity for case in report.sorted_cases()] == list(SEVERITIES[:2])
