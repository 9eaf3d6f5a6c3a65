"""AutoML's CSV, sound and damaged: which set an image is in, which box is kept, and the sentence for what is not."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet.data.admission import admit_all
from efficientdet.data.annotation import ImageAnnotation, Read
from efficientdet.data.csv import NO_SET, SETS, UNASSIGNED, by_set, csv_label_map, read_csv
from efficientdet.data.ledger import Finding, Ledger
from efficientdet.errors import DataError

Rows = list[list[str]]


@pytest.fixture
def rows(coco: Path, write_csv: Callable[..., Rows]) -> Rows:
    """The three images of `coco`, all for training, as coco/digits.csv."""
    return write_csv(coco / "digits.csv", coco, {"TRAIN": ("train", slice(None))})


@pytest.fixture
def read_rows(coco: Path) -> Callable[[Rows], tuple[list[Any], Ledger]]:
    """Writes rows and reads them back as a loader does."""

    def run(rows: Rows) -> tuple[list[Any], Ledger]:
        path = coco / "digits.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        classes = {label.name: label.id for label in csv_label_map(path)}
        admitted = list(admit_all((entry for _, entry in read_csv(path)), coco, "", classes))
        ledger = sum((ledger for _, ledger in admitted), Ledger())
        ledger.require_balance("all")
        return [image for image, _ in admitted if image], ledger

    return run


def test_fractions_become_the_pixels_of_the_same_boxes(rows: Rows, read_rows, read) -> None:
    images, ledger = read_rows(rows)
    from_coco, _ = read()
    assert [image.source_id for image in images] == [f"train/00000{i}.jpg" for i in (1, 2, 3)]
    for image, other in zip(images, from_coco, strict=True):
        np.testing.assert_allclose(image.boxes, other.boxes, atol=1e-4)
        assert image.encoded == other.encoded
    assert (ledger.boxes.kept, ledger.boxes.clipped, ledger.boxes.read) == (len(rows), {}, len(rows))


def test_labels_are_numbered_as_they_appear(rows: Rows, coco: Path) -> None:
    assert csv_label_map(coco / "digits.csv").names == list(dict.fromkeys(row[2] for row in rows))


@pytest.mark.parametrize(
    ("column", "value", "reason", "words"),
    [
        (0, "HOLDOUT", "unknown set", "'HOLDOUT' is none of TRAIN, VALIDATION, TEST, UNASSIGNED"),
        (1, " ", "malformed row", "names no image"),
        (1, "train/gone.jpg", "missing image file", "does not exist"),
        (1, "../../etc/passwd", "outside data folder", "leads out of the data folder"),
        (2, "", "unknown category", "category '' is not in the label map"),
        (3, "nan", "non-finite box", "is not finite"),
        (7, "inf", "non-finite box", "is not finite"),
        (3, "left", "malformed box", "not given as four numbers"),
        (4, "", "malformed box", "not given as four numbers"),
        (7, "-0.1", "zero-area box", "has no area"),
        (8, "1.01", None, ""),
    ],
)
def test_a_bad_row_is_counted_and_named(
    rows: Rows, read_rows, column: int, value: str, reason: str | None, words: str
) -> None:
    rows[1][column] = value
    _, ledger = read_rows(rows)
    dropped = ledger.images.dropped + ledger.boxes.dropped
    if reason is None:
        assert (ledger.boxes.clipped.total(), dropped) == (1, Counter())
        return
    assert set(dropped) == {reason}
    assert ledger.boxes.dropped == {reason: 1}
    assert any(words in finding.message for finding in ledger.findings)
    assert any("line 2" in finding.record for finding in ledger.findings)
    assert ledger.boxes.read == len(rows)


def test_a_box_outside_is_dropped(rows: Rows, read_rows) -> None:
    rows[1][3], rows[1][7] = "1.2", "1.4"
    _, ledger = read_rows(rows)
    assert ledger.boxes.dropped == {"box outside image": 1}
    assert ledger.findings[0].record == "image train/000001.jpg, line 2"


@pytest.mark.parametrize("count", [1, 5, 8, 12])
def test_a_row_needs_its_columns(rows: Rows, read_rows, count: int) -> None:
    rows[1] = (rows[1] + [""])[:count]
    _, ledger = read_rows(rows)
    assert ledger.boxes.dropped == {"malformed row": 1}
    assert ledger.findings[0].message == f"the row has {count} columns, but 11 are needed"


def test_empty_columns_at_the_end_and_blank_lines_may_be_left_out(rows: Rows, read_rows) -> None:
    _, ledger = read_rows([row[:9] for row in rows] + [[]])
    assert (ledger.boxes.kept, ledger.boxes.dropped) == (len(rows), {})


def test_a_row_without_label_and_box_is_an_image_without_objects(rows: Rows, read_rows) -> None:
    images, ledger = read_rows(
        [row for row in rows if "000002" not in row[1]] + [["TEST", rows[-1][1].replace("3", "2")] + [""] * 9]
    )
    assert [len(image.boxes) for image in images if "000002" in image.source_id] == [0]
    assert (ledger.images.kept, ledger.boxes.dropped) == (3, {})


@pytest.mark.parametrize(
    ("written", "name"),
    [("TRAINING", "TRAIN"), ("validation", "VALIDATION"), ("VAL", "VALIDATION"), ("test", "TEST"), ("", UNASSIGNED)],
)
def test_sets_are_told_by_their_beginning(rows: Rows, coco: Path, read_rows, written: str, name: str) -> None:
    read_rows([[written, *row[1:]] for row in rows])
    assert {name for name, _ in read_csv(coco / "digits.csv")} == {name}


def test_images_of_no_set_are_divided_by_content(coco: Path) -> None:
    photo = (coco / "train/000001.jpg").read_bytes()
    entries = []
    for i in range(200):
        (coco / f"train/{i}.jpg").write_bytes(photo + bytes([i % 100]))  # two copies of each
        entries.append((UNASSIGNED, ImageAnnotation("a.csv", f"image {i}", str(i % 100), f"train/{i}.jpg")))
    sets = by_set([*entries, (UNASSIGNED, Read(200, 0))], coco, "")
    assert all(own.pop() == Read(len(own), 0) for own in sets.values())
    assert set(sets) == set(SETS)
    assert 140 < len(sets["TRAIN"]) < 180
    contents = [{entry.source_id for entry in sets[name]} for name in SETS]
    assert sum(map(len, contents)) == len(set.union(*contents)) == 100


def test_what_belongs_to_no_set_comes_with_the_first(coco: Path) -> None:
    stray = (NO_SET, Finding("malformed row", "a.csv", "line 1", ""))
    gone = (UNASSIGNED, ImageAnnotation("a.csv", "image x", "x", "train/gone.jpg"))
    test = ("TEST", ImageAnnotation("a.csv", "image 1", "1", "train/000001.jpg"))
    read = [(NO_SET, Read(0, 1)), (UNASSIGNED, Read(1, 0)), ("TEST", Read(1, 0))]
    sets = by_set([stray, test, gone, *read], coco, "")
    assert sets == {"TRAIN": [stray[1], gone[1], Read(1, 1)], "TEST": [test[1], Read(1, 0)]}
    assert by_set([stray, test, read[0], read[2]], coco, "") == {"TEST": [stray[1], test[1], Read(1, 1)]}
    assert by_set([stray, read[0]], coco, "") == {"TRAIN": [stray[1], Read(0, 1)]}
    assert by_set([], coco, "") == {}


def test_every_set_counts_its_own_rows(rows: Rows, coco: Path) -> None:
    """Also of images that are given a set by their content, and with rows that cannot be used."""
    path = coco / "digits.csv"
    given = [[name, *row[1:]] for name, row in zip(cycle(["TRAIN", "TEST", "", "HOLDOUT"]), rows, strict=False)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([*given, ["VALIDATION", "train/000003.jpg"] + [""] * 9])
    sets = by_set(read_csv(path), coco, "")
    total = Read(0, 0)
    for entries in sets.values():
        images = [entry for entry in entries if isinstance(entry, ImageAnnotation)]
        strays = sum(isinstance(entry, Finding) for entry in entries)
        assert entries[-1] == Read(len(images), strays + sum(len(image.boxes) for image in images))
        total = Read(total.images + entries[-1].images, total.boxes + entries[-1].boxes)
    assert total == Read(len({(row[0], row[1]) for row in given if row[0] != "HOLDOUT"}) + 1, len(rows))


def test_an_image_lost_between_the_sets_does_not_add_up(coco: Path) -> None:
    lost = [(UNASSIGNED, Read(2, 3)), ("TEST", ImageAnnotation("a.csv", "image 1", "1", "1.jpg")), ("TEST", Read(1, 0))]
    assert by_set(lost, coco, "")["TEST"][-1] == Read(3, 3)


def test_a_file_that_is_no_csv_is_refused(coco: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: CSV file not found; give rows of set, image"):
        csv_label_map(tmp_path / "none.csv")
    (tmp_path / "quote.csv").write_text('TRAIN,"a"b,c\n')
    with pytest.raises(DataError, match=r"quote\.csv, line 1: is not CSV"):
        list(read_csv(tmp_path / "quote.csv"))
    shutil.copy(coco / "train/000001.jpg", tmp_path / "image.csv")
    with pytest.raises(DataError, match=r"image\.csv: CSV file cannot be read"):
        list(read_csv(tmp_path / "image.csv"))
    (tmp_path / "empty.csv").write_text("\n")
    with pytest.raises(DataError, match="labels no object at all"):
        csv_label_map(tmp_path / "empty.csv")


def test_other_separators_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufeffTRAIN;'a;b.jpg';cat;0;0;;;1;1;;\n", encoding="utf-8")
    [(name, image), read] = read_csv(tmp_path / "a.csv", delimiter=";", quotechar="'")
    assert read == ("TRAIN", Read(1, 1))
    assert isinstance(image, ImageAnnotation)
    assert (name, image.image, image.boxes[0].corners) == ("TRAIN", "a;b.jpg", (0, 0, 1, 1))
