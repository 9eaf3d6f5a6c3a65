"""Problems planted into a sound data set, each to be found as what it is and nothing else."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.check.inspection import check_splits
from efficientdet.check.report import EXAMPLES, PICTURES
from efficientdet.check.split import coco_splits, shard_splits, voc_splits
from efficientdet.config import Config
from efficientdet.label_map import LabelMap


def test_a_sound_data_set_has_no_problem(data, codes) -> None:
    report = data.check()
    assert codes(report) == {}
    assert report.verdict(strict=True) is None
    assert report.images == 15
    assert report.boxes_by_name() == {"cat": 15, "dog": 15}
    assert report.sizes.counts.sum() == report.aspects.counts.sum() == 30
    for split in report.splits.values():
        split.ledger.require_balance("it")


def change_image(**fields):
    return lambda train: train["images"][0].update(fields)


def change_box(**fields):
    return lambda train: train["annotations"][0].update(fields)


def add_box(**fields):
    return lambda train: train["annotations"].append(train["annotations"][0] | {"id": 999} | fields)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_image(id=None), {"A101": 1, "A103": 2}),
        (change_image(id=2), {"A102": 1, "A103": 2}),
        (change_box(image_id=77), {"A103": 1}),
        (change_box(id=4), {"A106": 1}),
        (add_box(), {"B306": 1}),
        (add_box(id=1, bbox=[60, 60, 20, 20]), {"A106": 1}),
        (change_image(file_name="none.png"), {"I201": 1, "I207": 1}),
        (change_image(file_name="../val/13.png"), {"I203": 1, "I207": 1}),
        (change_image(file_name="a\0b"), {"I204": 1, "I207": 1}),
        (change_image(height=95), {"I205": 1}),
        (lambda train: train["annotations"].__delitem__(slice(2)), {"I206": 1}),
        (lambda train: train["images"].pop(), {"I207": 1, "A103": 2}),
        (lambda train: train["images"].append(train["images"][0] | {"id": 50}), {"A109": 1}),
        (lambda train: train["images"].append(train["images"][0] | {"id": 50, "height": 9}), {"A110": 1}),
        (change_box(bbox=[1, 2, 3]), {"B301": 1}),
        (change_box(bbox=[1, 2, float("nan"), 3]), {"B302": 1}),
        (change_box(bbox=[1, 2, 0, 3]), {"B303": 1}),
        (change_box(bbox=[500, 2, 10, 10]), {"B304": 1}),
        (change_box(bbox=[100, 10, 60, 60]), {"B305": 1}),
        (add_box(category_id=2), {"B307": 1}),
        (change_box(bbox=[4, 4, 0.2, 40]), {"B308": 1, "N601": 1}),
        (change_box(bbox=[0, 0, 128, 96]), {"B309": 1}),
        (change_box(category_id=3), {"C401": 1}),
        (change_box(bbox=[4, 4, 120, 3]), {"N601": 1}),
        (lambda train: train["categories"].append({"id": 3, "name": "bird"}), {"C402": 1}),
        (lambda train: train["categories"].append({"id": 3, "name": "Cat "}), {"C402": 1, "C406": 1}),
        (lambda train: [a.update(category_id=1) for a in train["annotations"][6:]], {"C403": 1}),
        (lambda train: [a.update(category_id=1) for a in train["annotations"]], {"C404": 1}),
    ],
)
def test_a_planted_problem_is_found(data, codes, change, expected) -> None:
    change(data.splits["train"])
    found = codes(data.check())
    assert {code: found.get(code, 0) for code in expected} == expected
    # What follows from a lost image or box may be found besides, but nothing else.
    assert found.keys() - expected.keys() <= {"I207", "C405"}


def test_a_class_of_the_first_split_alone(data, codes) -> None:
    for annotation in data.splits["val"]["annotations"]:
        annotation["category_id"] = 1
    report = data.check()
    assert codes(report) == {"C405": 1}
    [(split, finding)] = report.cases["C405"].examples
    assert (split, finding.record, finding.message) == ("val", "class 'dog'", "has 12 boxes in train, but none in val")


def test_damaged_files(data, codes) -> None:
    path = data.root / "train" / "1.png"
    path.write_bytes(path.read_bytes()[:400])
    report = data.check()
    assert codes(report) == {"I202": 1}
    assert report.cases["I202"].examples[0][1].record == "image 1 (1.png)"
    assert report.splits["train"].ledger.images.dropped.total() == 1


def test_bytes_that_no_decoder_takes_are_found_behind_a_sound_structure(data, codes) -> None:
    stored = io.BytesIO()
    Image.effect_noise((128, 96), 60).convert("RGB").save(stored, "JPEG")
    jpeg = bytearray(stored.getvalue())
    jpeg[len(jpeg) // 2 : len(jpeg) // 2 + 2] = b"\xff\x76"  # a marker that there is not
    (data.root / "train" / "1.png").write_bytes(jpeg)
    report = data.check(pictures=True)
    assert codes(report) == {"I202": 1}
    assert report.boxes_by_name() == {"cat": 14, "dog": 14}


def test_names_that_are_not_unicode(data, codes) -> None:
    (data.root / os.fsdecode(b"train/caf\xe9.jpg")).write_bytes(b"")
    report = data.check()
    assert codes(report) == {"I207": 1}
    assert report.cases["I207"].examples[0][1].record == "caf\\udce9.jpg"


def test_other_formats_are_told(data, codes, paint) -> None:
    frames = [paint(100), paint(101)]
    frames[0].save(data.root / "train" / "1.png", "GIF", save_all=True, append_images=frames[1:])
    assert codes(data.check()) == {"I209": 1, "I210": 1}


def test_duplicates_and_leaks(data, codes, paint) -> None:
    train, val = data.root / "train", data.root / "val"
    (train / "2.png").write_bytes((train / "1.png").read_bytes())
    (val / "13.png").write_bytes((train / "3.png").read_bytes())
    for source, copy in ((train / "4.png", train / "5.png"), (train / "6.png", val / "14.png")):
        encoded = io.BytesIO()
        Image.open(source).save(encoded, "JPEG", quality=60)
        copy.write_bytes(encoded.getvalue())
    report = data.check(pictures=True)
    assert codes(report) == {"D501": 1, "D502": 1, "D503": 1, "D504": 1}
    messages = {code: case.examples[0][1].message for code, case in report.cases.items()}
    assert messages["D501"] == "has the same bytes as image 1 (1.png)"
    assert messages["D503"] == "has the same bytes as image 3 (3.png) of train"
    assert messages["D504"] == "looks the same as image 6 (6.png) of train"
    assert [len(case.pictures[0].thumbnails) for case in report.cases.values()] == [2] * 4


def test_what_is_kept_does_not_grow(data) -> None:
    train = data.splits["train"]
    for number in range(200):
        box = data.annotation(1000 + number, number % 12 + 1, 1, [0, 0, 0, number])
        train["annotations"].append(box)
    report = data.check(pictures=True)
    case = report.cases["B303"]
    assert case.counts == {"train": 200}
    assert len(case.examples) == EXAMPLES
    assert len(case.pictures) == PICTURES
    assert all(not split.ledger.findings for split in report.splits.values())


def test_pictures_show_the_offender_in_red(data) -> None:
    data.splits["train"]["annotations"][0]["bbox"] = [30, 30, 0, 20]
    Image.new("RGB", (128, 96), (90, 90, 90)).save(data.root / "train" / "1.png")
    [shown] = data.check(pictures=True).cases["B303"].pictures
    pixels = np.asarray(Image.open(io.BytesIO(shown.thumbnails[0])), np.int16)
    red = (pixels[..., 0] > 200) & (pixels[..., 1:].max(axis=2) < 110)
    rows, columns = np.nonzero(red)
    assert len(rows)
    assert abs(columns.mean() - 33) < 6
    assert 30 <= rows.min() <= rows.max() <= 60
    assert shown.caption.startswith("image 1 (1.png), annotation 1: box")


def test_shards_are_checked_by_the_same_rules(digit_shards: Path, codes) -> None:
    labels = LabelMap.load(digit_shards)
    shards = {
        f"{digit_shards}/Split-{s}/*": sorted(map(str, (digit_shards / f"Split-{s}").iterdir()))
        for s in ("train", "eval")
    }
    report = check_splits(shard_splits(shards, labels), Config())
    assert list(report.splits) == ["train", "eval"]
    assert report.images == 16
    assert not report.count("error")
    assert {"C403"} <= set(codes(report)), "twelve images hold few boxes of each digit"


def test_real_microscope_images(shared: Path, codes) -> None:
    report = check_splits(
        voc_splits(shared / "data/bccd/BCCD", ["train", "val", "test"]), Config().override("name=efficientdet-d0")
    )
    assert codes(report) == {"B303": 2, "D504": 1, "N601": 5}
    records = [finding.record for _, finding in report.cases["B303"].examples]
    assert [record.split(",")[0] for record in records] == ["image BloodImage_00343", "image BloodImage_00338"]
    assert report.cases["D504"].examples[0][1].message == "looks the same as image BloodImage_00038 of train"
    assert report.boxes_by_name() == {"Platelets": 361, "RBC": 4153, "WBC": 372}


def test_real_photographs_have_no_error(shared: Path) -> None:
    folder = shared / "data/coco_mini"
    pairs = [(folder / f"annotations/instances_{s}2017.json", folder / f"{s}2017") for s in ("train", "val")]
    report = check_splits(coco_splits(pairs), Config())
    assert report.verdict() is None
    assert report.sizes.counts.sum() == sum(report.boxes_by_name().values()) == 1644 + 815 - 16 - 11
