"""The page: complete in itself, well formed, and free of what strangers write into names."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

from efficientdet.check.anchor_match import AnchorMatch
from efficientdet.check.html import CLASSES, to_html
from efficientdet.check.report import Report
from efficientdet.config import Config

SCRIPT = "<script>alert(1)</script>\"'&"


def page(report: Report) -> str:
    return to_html(report, Config(), AnchorMatch(Config()).shapes)


class Tags(HTMLParser):
    """Checks that tags close in order; collects them, their attributes and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_are_escaped_and_nothing_is_fetched(data) -> None:
    train = data.splits["train"]
    train["categories"][0]["name"] = data.splits["val"]["categories"][0]["name"] = SCRIPT
    train["annotations"][0]["category_id"] = SCRIPT
    train["annotations"][2]["id"] = SCRIPT
    train["annotations"][2]["bbox"] = [0, 0, 0, 0]
    train["images"][4]["file_name"] = SCRIPT
    report = data.check(pictures=True)
    assert {"C401", "B303", "I201"} <= report.cases.keys()
    tags = Tags(page(report))
    assert not tags.open
    assert "script" not in tags.seen
    assert tags.text.count(SCRIPT) >= 4
    assert all(source.startswith(("data:image/jpeg;base64,", "#")) for source in tags.sources)
    assert any(source.startswith("data:") for source in tags.sources)


def test_bars_are_drawn_for_all_boxes(data) -> None:
    data.splits["train"]["annotations"][0]["bbox"] = [4, 4, 120, 3]
    html = page(data.check())
    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html)]
    titles = [element.text or "" for chart in charts for element in chart.iter("title")]
    counts = [re.search(r": (\d+) boxes, (\d+) unmatched", title) for title in titles]
    assert any(match and match[2] == "1" for match in counts)
    assert "No anchor overlaps 1 of 30 boxes (3.3%)" in html


def test_a_page_without_problems_or_boxes(data) -> None:
    assert "None." in page(data.check())
    for split in data.splits.values():
        split["annotations"].clear()
    html = page(data.check())
    assert not Tags(html).open
    assert "There is no box to train on" in html


def test_many_classes_are_folded(data) -> None:
    for split in data.splits.values():
        split["categories"] += [{"id": i, "name": f"class {i}"} for i in range(3, 40)]
    html = page(data.check())
    assert f"{39 - CLASSES} classes with fewer boxes" in html
    assert "class 39" in Tags(html).text
