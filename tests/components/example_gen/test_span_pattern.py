"""Braces of spans in patterns of paths."""

from __future__ import annotations

import pytest

from components.example_gen.source import resolve_span
from components.example_gen.span_pattern import Texts, fill, has_braces, is_well_written, texts_of
from efficientdet.errors import DataError


@pytest.mark.parametrize(
    ("pattern", "path", "texts"),
    [
        ("span-{SPAN}/*.json", "span-007/a.json", {"SPAN": "007"}),
        ("span-{SPAN}/*.json", "span-007/*.json", {"SPAN": "007"}),
        ("{SPAN:2}/v{VERSION}/a.json", "07/v1/a.json", {"SPAN": "07", "VERSION": "1"}),
        ("{YYYY}{MM}{DD}/a.json", "20260103/a.json", {"YYYY": "2026", "MM": "01", "DD": "03"}),
        ("a.json", "a.json", {}),
        ("{SPAN}/a.json", "8.partial/a.json", None),
        ("{SPAN:2}/a.json", "007/a.json", None),
        ("{SPAN}/a.json", "7/b/a.json", None),
    ],
)
def test_texts_stand_where_the_braces_are(pattern: str, path: str, texts: Texts | None):
    assert texts_of(pattern, path) == texts
    assert texts is None or fill(pattern.replace("*", "a"), texts) == path.replace("*", "a")


@pytest.mark.parametrize(
    ("pattern", "has", "well"),
    [
        ("a", False, True),
        ("{SPAN:3}", True, True),
        ("{SPAN", True, False),
        ("{SPAN:0}", True, False),
        ("{SPAN:999}", True, False),
    ],
)
def test_braces_are_well_written_or_not(pattern: str, has: bool, well: bool):
    assert (has_braces(pattern), is_well_written(pattern)) == (has, well)


def test_what_goes_with_a_split_has_its_braces():
    assert resolve_span("{SPAN}/train", "{SPAN}/a.json", "007/a.json") == "007/train"
    for pattern in ("{SPAN}/train", "{VERSION}"):
        with pytest.raises(DataError, match=r"has braces that are not those of its split, 'a.json'; write the same"):
            resolve_span(pattern, "a.json", "a.json")
