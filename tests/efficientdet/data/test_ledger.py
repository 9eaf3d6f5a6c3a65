"""The ledger's law: read = kept + clipped + merged + dropped, whatever is added in whatever order."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.data import ledger as ledger_file
from efficientdet.data.ledger import FINDINGS_PER_REASON, Count, Finding, Ledger, to_json
from efficientdet.errors import DataError

REASONS = st.sampled_from(["zero-area box", "unknown category", "missing image file"])
COUNTERS = st.dictionaries(REASONS, st.integers(1, 10**9)).map(Counter)
COUNTS = st.builds(
    Count,
    kept=st.integers(0, 10**9),
    clipped=COUNTERS,
    merged=COUNTERS,
    dropped=COUNTERS,
    noted=COUNTERS,
).map(lambda count: replace(count, read=count.accounted))
TEXTS = st.text(max_size=3)
FINDINGS = st.lists(
    st.builds(
        Finding,
        REASONS,
        TEXTS,
        TEXTS,
        TEXTS,
        outcome=st.sampled_from(["clipped", "merged", "dropped", "noted"]),
        of=st.sampled_from(["image", "box"]),
    ),
    max_size=5,
)
# Sums keep their findings in order.
LEDGERS = st.builds(Ledger, COUNTS, COUNTS, FINDINGS).map(lambda ledger: ledger + Ledger())


@settings(deadline=None)
@given(LEDGERS, LEDGERS, LEDGERS)
def test_sums_do_not_depend_on_order_or_grouping(a: Ledger, b: Ledger, c: Ledger) -> None:
    assert (a + b) + c == a + (b + c) == c + b + a
    assert (a + b).boxes.read == a.boxes.read + b.boxes.read


@settings(deadline=None)
@given(LEDGERS, LEDGERS)
def test_the_written_ledger_adds_up_and_reads_back(
    tmp_path_factory: pytest.TempPathFactory, a: Ledger, b: Ledger
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    (folder / ledger_file.FILE_NAME).write_text(to_json({"train": a, "eval": b}), encoding="utf-8")
    assert ledger_file.load(folder) == {"train": a, "eval": b}
    total = json.loads((folder / ledger_file.FILE_NAME).read_text(encoding="utf-8"))["total"]
    for kind in ("images", "boxes"):
        count = total[kind]
        changed = sum(sum(count[name].values()) for name in ("clipped", "merged", "dropped"))
        assert count["kept"] + changed == count["read"]
    assert total["boxes"]["read"] == a.boxes.read + b.boxes.read


@pytest.mark.parametrize("step", [1, -1, 77])
def test_the_first_hundred_findings_of_each_reason_stay(step: int) -> None:
    ledger = Ledger()
    for number in (i * step % 250 for i in range(250)):
        one = Ledger()
        one.book(Finding("even" if number % 2 == 0 else "odd", "f", f"{number:03d}", ""))
        ledger += one
    kept = [int(finding.record) for finding in ledger.findings if finding.reason == "even"]
    assert kept == list(range(0, 2 * FINDINGS_PER_REASON, 2))
    assert ledger.boxes.dropped == {"even": 125, "odd": 125}


def test_a_ledger_that_was_not_added_to_holds_all_findings_and_counts_as_one_that_was() -> None:
    whole, parts = Ledger(), Ledger()
    for number in range(250, 0, -1):
        finding = Finding("zero-area box", "f", f"{number:03d}", "")
        whole.book(finding)
        one = Ledger()
        one.book(finding)
        parts += one
    assert len(whole.findings) == 250
    assert whole + Ledger() == Ledger() + whole == parts


def test_a_ledger_that_does_not_add_up_is_refused(tmp_path: Path) -> None:
    (tmp_path / ledger_file.FILE_NAME).write_text(to_json({"train": Ledger(Count(read=4, kept=3))}))
    with pytest.raises(DataError, match=r"split train: 4 images were read, but 3 are accounted for \(4 = 3 kept\)"):
        ledger_file.load(tmp_path)
    with pytest.raises(DataError, match=r"ledger\.json: ledger not found"):
        ledger_file.load(tmp_path / "elsewhere")


def damaged() -> Ledger:
    """One of four images dropped, with two of eight boxes."""
    ledger = Ledger(Count(read=4, kept=3), Count(read=8, kept=5))
    ledger.book(
        Finding("over the border", "a.json", "image 1 (w.jpg), annotation 3", "crosses", outcome="clipped", kept=0.5)
    )
    image = "image 7 (x.jpg)"
    ledger.book(Finding("undecodable image", "a.json", image, "x.jpg cannot be decoded", of="image"))
    for number in (1, 2):
        ledger.book(Finding("undecodable image", "a.json", f"{image}, annotation {number}", "belongs to it"))
    return ledger


def test_each_change_is_booked_under_what_became_of_the_record() -> None:
    ledger = damaged()
    ledger.book(Finding("animation", "a.json", "image 1 (w.jpg)", "the first was taken", outcome="noted", of="image"))
    ledger.require_balance("train")
    assert (ledger.images.dropped, ledger.boxes.dropped) == ({"undecodable image": 1}, {"undecodable image": 2})
    assert (ledger.boxes.clipped, ledger.images.noted) == ({"over the border": 1}, {"animation": 1})
    assert str(ledger) == (
        "images 4 = 3 kept + 1 dropped (1 undecodable image);"
        " boxes 8 = 5 kept + 1 clipped (1 over the border) + 2 dropped (2 undecodable image);"
        " first: a.json, image 7 (x.jpg): x.jpg cannot be decoded"
    )
    assert json.loads(ledger.findings[0].to_json())["kept"] == 0.5


def test_names_are_shown_on_one_line_however_odd_they_are() -> None:
    finding = Finding("missing image file", "a\udcff.json", "image 1 (\0\n\x1b[2J)", "x" * 10**6)
    assert str(finding).startswith(r"a\udcff.json, image 1 (\x00\n\x1b[2J): xxx")
    assert len(str(finding)) < 2000
    assert Finding(**json.loads(finding.to_json())) == finding


def test_the_bound_is_on_images_and_on_boxes() -> None:
    damaged().require("train", 0.25)
    with pytest.raises(DataError) as error:
        damaged().require("train", 0.2)
    assert str(error.value) == (
        "split train: 1 of 4 images (25.0%) cannot be used (1 undecodable image), above max_bad_fraction=0.2;"
        " first: a.json, image 7 (x.jpg): x.jpg cannot be decoded; mend what the ledger lists or raise max_bad_fraction"
    )
    with pytest.raises(DataError, match=r"1 of 2 boxes \(50\.0%\)"):
        Ledger(Count(kept=9), Count(read=2, kept=1, dropped=Counter({"zero-area box": 1}))).require("eval", 0.25)


def test_no_image_left_is_never_accepted() -> None:
    ledger = Ledger(Count(read=1))
    ledger.book(Finding("missing image file", "a.json", "image 1", "gone", of="image"))
    with pytest.raises(DataError, match=r"split eval: not one of 1 images can be used; first: a\.json, image 1: gone"):
        ledger.require("eval", 1.0)
