from __future__ import annotations

import io

from rich.console import Console

from efficientdet.check.console import print_report
from efficientdet.check.report import Report


def printed(report: Report) -> str:
    """The text with runs of spaces and lines of tables taken out."""
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    return " ".join(out.getvalue().replace("│", " ").split())


def test_a_sound_data_set(data) -> None:
    text = printed(data.check())
    assert "15 images, 0 of them without a box; 2 boxes in one at most" in text
    assert "train: images 12 = 12 kept; boxes 24 = 24 kept" in text
    assert "no problems" in text
    assert "overlaps 0 of 30 boxes (0.0%) with IoU 0.5" in text


def test_problems_with_their_first_records(data) -> None:
    for annotation in data.splits["train"]["annotations"][:5]:
        annotation["bbox"] = [0, 0, 0, 7]
    text = printed(data.check())
    assert "B303 zero-area box error 5 image 1 (1.png), annotation 1: box" in text
    assert "and 2 more" in text
    assert "boxes 24 = 19 kept + 5 dropped (5 zero-area box)" in text


def test_names_are_not_taken_for_markup(data) -> None:
    for split in data.splits.values():
        split["categories"][0]["name"] = "[red]cat[/red]"
    assert "[red]cat[/red] 15 12 3" in printed(data.check())
