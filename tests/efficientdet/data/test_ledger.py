"""The ledger's law: kept + clipped + dropped = read, whatever is added in whatever order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.data import ledger as ledger_file
from efficientdet.data.ledger import FINDINGS_PER_REASON, Count, Finding, Ledger, to_json
from efficientdet.errors import DataError

REASONS = st.sampled_from(["zero-area box", "unknown category", "missing image file"])
COUNTS = st.builds(
    Count,
    kept=st.integers(0, 10**9),
    clipped=st.integers(0, 10**9),
    dropped=st.dictionaries(REASONS, st.integers(1, 10**9)).map(Counter),
)
FINDINGS = st.lists(
    st.builds(Finding, REASONS, st.text(max_size=3), st.text(max_size=3), st.text(max_size=3)), max_size=5
)
LEDGERS = st.builds(Ledger, COUNTS, COUNTS, FINDINGS.map(sorted))


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
        assert count["kept"] + count["clipped"] + sum(count["dropped"].values()) == count["read"]
    assert total["boxes"]["read"] == a.boxes.read + b.boxes.read


@pytest.mark.parametrize("step", [1, -1, 77])
def test_the_first_hundred_findings_of_each_reason_stay(step: int) -> None:
    ledger = Ledger()
    for number in (i * step % 250 for i in range(250)):
        one = Ledger()
        one.drop_box(Finding("even" if number % 2 == 0 else "odd", "f", f"{number:03d}", ""))
        ledger += one
    kept = [int(finding.record) for finding in ledger.findings if finding.reason == "even"]
    assert kept == list(range(0, 2 * FINDINGS_PER_REASON, 2))
    assert ledger.boxes.dropped == {"even": 125, "odd": 125}


def test_a_ledger_that_does_not_add_up_is_refused(tmp_path: Path) -> None:
    values = json.loads(to_json({"train": Ledger(Count(kept=3))}))
    values["splits"]["train"]["images"]["read"] = 4
    (tmp_path / ledger_file.FILE_NAME).write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"kept \+ clipped \+ dropped is 3, but 4 were read"):
        ledger_file.load(tmp_path)
    with pytest.raises(DataError, match=r"ledger\.json: ledger not found"):
        ledger_file.load(tmp_path / "elsewhere")


def damaged() -> Ledger:
    """One of four images dropped, with two of eight boxes."""
    ledger = Ledger(Count(kept=3), Count(kept=5, clipped=1))
    ledger.drop_image(Finding("undecodable image", "a.json", "image 7 (x.jpg)", "x.jpg cannot be decoded"), boxes=2)
    return ledger


def test_an_image_takes_its_boxes_along() -> None:
    ledger = damaged()
    assert (ledger.images.read, ledger.boxes.read) == (4, 8)
    assert ledger.boxes.dropped == {"undecodable image": 2}


def test_the_bound_is_on_images_and_on_boxes() -> None:
    damaged().require("train", 0.25)
    with pytest.raises(DataError) as error:
        damaged().require("train", 0.2)
    assert str(error.value) == (
        "split train: 1 of 4 images (25.0%) cannot be used (1 undecodable image), above max_bad_fraction=0.2;"
        " first: a.json, image 7 (x.jpg): x.jpg cannot be decoded; mend what the ledger lists or raise max_bad_fraction"
    )
    with pytest.raises(DataError, match=r"1 of 2 boxes \(50\.0%\)"):
        Ledger(Count(kept=9), Count(kept=1, dropped=Counter({"zero-area box": 1}))).require("eval", 0.25)


def test_no_image_left_is_never_accepted() -> None:
    ledger = Ledger()
    ledger.drop_image(Finding("missing image file", "a.json", "image 1", "gone"), boxes=0)
    with pytest.raises(DataError, match=r"split eval: not one of 1 images can be used; first: a\.json, image 1: gone"):
        ledger.require("eval", 1.0)
