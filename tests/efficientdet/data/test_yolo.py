"""A YOLO folder, sound and damaged: which row becomes which box, and the account of what does not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from efficientdet.data.admission import admit_all
from efficientdet.data.annotation import Entry, ImageAnnotation, Read
from efficientdet.data.ledger import Finding, Ledger
from efficientdet.data.yolo import MAX_LABEL_BYTES, read_yolo, yolo_files, yolo_label_map
from efficientdet.errors import DataError

FIRST = "labels/train/000001.txt"


@pytest.fixture
def yolo(coco: Path) -> Path:
    """The three images of `coco` with a label file each, and a data.yaml."""
    instances = json.loads((coco / "annotations/instances_train.json").read_text())
    (coco / "images").mkdir()
    (coco / "train").rename(coco / "images/train")
    (coco / "labels/train").mkdir(parents=True)
    names = {category["id"]: category["name"] for category in instances["categories"]}
    indices = {category: index for index, category in enumerate(names)}
    for image in instances["images"]:
        rows = [row(indices, image, a) for a in instances["annotations"] if a["image_id"] == image["id"]]
        (coco / "labels/train" / image["file_name"]).with_suffix(".txt").write_text("\n".join(rows) + "\n")
    listed = "".join(f"  {indices[category]}: {name}\n" for category, name in names.items())
    (coco / "data.yaml").write_text(f"path: .\ntrain: images/train\nval: images/train\nnames:\n{listed}")
    return coco


def row(indices: dict[int, int], image: dict, annotation: dict) -> str:
    x, y, width, height = annotation["bbox"]
    centre = [(x + width / 2) / image["width"], (y + height / 2) / image["height"]]
    numbers = [*centre, width / image["width"], height / image["height"]]
    return " ".join(map(str, [indices[annotation["category_id"]], *numbers]))


def read(root: Path, split: str = "train") -> tuple[list[ImageAnnotation], list[Finding]]:
    """The entries, after checking that they add up to what was read."""
    entries: list[Entry] = list(read_yolo(root, split))
    images = [entry for entry in entries if isinstance(entry, ImageAnnotation)]
    findings = [entry for entry in entries if isinstance(entry, Finding)]
    boxes = sum(len(image.boxes) for image in images) + sum(finding.of == "box" for finding in findings)
    assert entries[-1] == Read(len(images) + sum(finding.of == "image" for finding in findings), boxes)
    return images, findings


def rows(yolo: Path, name: str = FIRST) -> int:
    return len((yolo / name).read_text().splitlines())


def test_fractions_are_the_boxes_of_the_annotations(yolo: Path) -> None:
    instances = json.loads((yolo / "annotations/instances_train.json").read_text())
    images, findings = read(yolo)
    assert findings == []
    assert [image.image for image in images] == [f"images/train/{i['file_name']}" for i in instances["images"]]
    names = {category["id"]: category["name"] for category in instances["categories"]}
    for image, listed in zip(images, instances["images"], strict=True):
        own = [a for a in instances["annotations"] if a["image_id"] == listed["id"]]
        assert [box.category for box in image.boxes] == [names[a["category_id"]] for a in own]
        sides = [listed["height"], listed["width"]] * 2
        x, y, width, height = np.transpose([a["bbox"] for a in own])
        corners = np.stack([y, x, y + height, x + width], -1)
        np.testing.assert_allclose([box.corners for box in image.boxes] * np.array(sides), corners, atol=1e-9)
        assert image.normalised
        assert image.source_id == image.image


def test_the_class_index_is_the_category_id(yolo: Path) -> None:
    labels = yolo_label_map(yolo)
    assert [label.category_id for label in labels] == list(range(len(labels)))
    assert {box.category for image in read(yolo)[0] for box in image.boxes} <= set(labels.names)
    (yolo / "data.yaml").write_text("names: {3: b, 1: a}\n")
    assert [(label.id, label.name, label.category_id) for label in yolo_label_map(yolo)] == [(1, "a", 1), (2, "b", 3)]
    (yolo / "data.yaml").write_text("names: [a, a]\n")
    with pytest.raises(DataError, match="'a' is given to two classes"):
        yolo_label_map(yolo)


@pytest.mark.parametrize("content", [None, "", "\n \r\n"])
def test_without_labels_an_image_is_a_negative(yolo: Path, content: str | None) -> None:
    (yolo / FIRST).unlink() if content is None else (yolo / FIRST).write_text(content)
    images, findings = read(yolo)
    assert (images[0].boxes, images[0].problem, findings) == ([], None, [])


def test_a_polygon_is_its_hull(yolo: Path) -> None:
    (yolo / FIRST).write_text("0 0.5 0.1 0.9 0.5 0.1 0.4\n1 .1 .2 .3 .2 .3 .4 .1 .4\n")
    images, _ = read(yolo)
    assert [box.corners for box in images[0].boxes] == [(0.1, 0.1, 0.5, 0.9), (0.2, 0.1, 0.4, 0.3)]


def test_keypoints_after_a_box_are_passed_over(yolo: Path) -> None:
    with (yolo / "data.yaml").open("a") as file:
        file.write("kpt_shape: [1, 2]\n")
    (yolo / FIRST).write_text("0 0.5 0.5 0.2 0.4 0.9 0.9\n0 0.5 0.5 0.2 0.4\n")
    images, _ = read(yolo)
    np.testing.assert_allclose([box.corners for box in images[0].boxes], [(0.3, 0.4, 0.7, 0.6)] * 2)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("cat 0.5 0.5 0.1 0.1", "'cat 0.5 0.5 0.1 0.1' is no class index followed by numbers"),
        ("0.5 0.5 0.5 0.1 0.1", "is no class index followed by numbers"),
        ("nan 0.5 0.5 0.1 0.1", "is no class index followed by numbers"),
        ("0,0.5,0.5,0.1,0.1", "is no class index followed by numbers"),
        ("0 0.5 0.5 ½ 0.1", "is no class index followed by numbers"),
        ("0", "0 numbers follow the class index, but a box has 4 and a polygon 6 or more, in pairs"),
        ("0 0.5 0.5 0.1", "3 numbers follow"),
        ("0 0.5 0.5 0.1 0.1 0.9", "5 numbers follow"),
        ("0 1 2 3 4 5 6 7", "7 numbers follow"),
    ],
)
def test_a_malformed_row_is_named_and_the_others_kept(yolo: Path, written: str, says: str) -> None:
    count = rows(yolo)
    (yolo / FIRST).write_text(f"{written}\n{(yolo / FIRST).read_text()}", encoding="utf-8")
    images, [finding] = read(yolo)
    assert len(images[0].boxes) == count
    assert (finding.reason, finding.record, finding.of) == (
        "malformed row",
        "image images/train/000001.jpg, line 1",
        "box",
    )
    assert finding.file == str(yolo / FIRST)
    assert says in finding.message


@pytest.mark.parametrize("written", ["99 .5 .5 .1 .1", "-1 .5 .5 .1 .1", "1e300 .5 .5 .1 .1"])
def test_an_index_out_of_range_is_no_known_category(yolo: Path, written: str) -> None:
    (yolo / FIRST).write_text(written)
    [box] = read(yolo)[0][0].boxes
    assert box.category == int(float(written.split()[0]))
    assert box.category not in yolo_label_map(yolo).names


@pytest.mark.parametrize("written", ["0 nan .5 .1 .1", "0 .5 inf .1 .1", "0 .1 .1 .2 .2 nan .3", "0 1e400 .1 .2 .2"])
def test_what_is_not_finite_stays_so(yolo: Path, written: str) -> None:
    (yolo / FIRST).write_text(written)
    [box] = read(yolo)[0][0].boxes
    assert not all(map(math.isfinite, box.corners))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "ascii"])
def test_a_byte_order_mark_is_no_row(yolo: Path, encoding: str) -> None:
    (yolo / FIRST).write_text("0.0 .5 .5 .1 .1\r\n", encoding=encoding)
    images, findings = read(yolo)
    assert (len(images[0].boxes), findings) == (1, [])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("0 .5 .5 .1 .1\n0 .5 .5 .1 .1".encode("utf-16"), "is no UTF-8 text; save it as such"),
        (b"0 .5 .5 .1 .1\n0 .5 \xbd .1 .1", "is no UTF-8 text; save it as such"),
        (b"0 .5 .5 .1 .1\n\0\0\0\0", "holds NUL bytes; save it as UTF-8 text"),
    ],
)
def test_labels_that_are_no_text_do_not_make_a_negative(yolo: Path, content: bytes, says: str) -> None:
    (yolo / FIRST).write_bytes(content)
    images, findings = read(yolo)
    assert findings == []
    assert images[0].problem[0] == "unreadable label file"
    assert says in images[0].problem[1]
    assert len(images[0].boxes) == 2


def test_labels_that_are_no_file_or_too_large_are_a_problem(yolo: Path) -> None:
    (yolo / FIRST).unlink()
    (yolo / FIRST).mkdir()
    with (yolo / FIRST.replace("1.", "2.")).open("wb") as file:
        file.truncate(MAX_LABEL_BYTES + 1)
    images, _ = read(yolo)
    assert [image.problem and image.problem[0] for image in images] == ["unreadable label file"] * 2 + [None]


def test_nothing_outside_the_data_folder_is_read(yolo: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("0 .5 .5 .1 .1\n")
    (tmp_path / "secret.jpg").write_bytes((yolo / "images/train/000001.jpg").read_bytes())
    (yolo / FIRST).unlink()
    (yolo / FIRST).symlink_to(tmp_path / "secret.txt")
    (yolo / "list.txt").write_bytes(
        b"../secret.jpg\n/etc/passwd\nimages/train/000001.jpg\nimages/a\0b.jpg\n.\n\xff.jpg\n"
    )
    (yolo / "data.yaml").write_text((yolo / "data.yaml").read_text().replace("train: images/train", "train: list.txt"))
    images, _ = read(yolo)
    reasons = [image.problem and image.problem[0] for image in images]
    assert reasons == ["outside data folder"] * 3 + ["unusable file name", None, None]
    assert [image.boxes for image in images] == [[]] * 6
    assert images[-1].source_id == "\\udcff.jpg"
    named = yolo_files(yolo, ["train"])
    assert {yolo / "data.yaml", yolo / "list.txt", yolo / "images/train/000001.jpg"} < named
    assert all(path.resolve().is_relative_to(yolo) for path in named)


def test_an_image_listed_twice_counts_once(yolo: Path) -> None:
    (yolo / "list.txt").write_text("./images/train/000001.jpg\nimages/train/000001.jpg\n")
    (yolo / "data.yaml").write_text((yolo / "data.yaml").read_text().replace("images/train", "list.txt"))
    first, second = read(yolo)[0]
    assert first.problem is None
    assert second.problem == ("duplicate image id", "images/train/000001.jpg is listed twice")
    assert (len(first.boxes), len(second.boxes)) == (rows(yolo), 0)


def test_labels_without_an_image_are_accounted_for(yolo: Path) -> None:
    count = rows(yolo)
    (yolo / "images/train/000001.jpg").unlink()
    (yolo / "labels/train/classes.txt").write_text("cat\n")
    images, _ = read(yolo)
    assert [image.record for image in images if image.problem] == [f"labels {FIRST}"]
    assert images[-1].problem[0] == "missing image file"
    assert len(images[-1].boxes) == count


def test_every_file_that_counts_is_named(yolo: Path) -> None:
    (yolo / "labels/train/stray.txt").touch()
    (yolo / FIRST).unlink()
    names = sorted(str(path.relative_to(yolo)) for path in yolo_files(yolo, ["train", "val"]))
    stems = [f"00000{i}" for i in (1, 2, 3)]
    labels = [f"labels/train/{stem}.txt" for stem in [*stems, "stray"]]
    assert names == ["data.yaml", *(f"images/train/{stem}.jpg" for stem in stems), *labels]


def test_the_ledger_adds_up_whatever_is_wrong(yolo: Path) -> None:
    whole = [rows(yolo, FIRST.replace("1.", f"{i}.")) for i in (1, 2, 3)]
    with (yolo / FIRST).open("a") as file:
        file.write("cat\n99 .5 .5 .1 .1\n0 nan .5 .1 .1\n0 .5 .5 0 .1\n0 1.5 .5 .1 .1\n0 1 .5 .2 .2\n")
    (yolo / FIRST.replace("1.", "2.")).write_bytes(b"\0\n\n\0")
    (yolo / "images/train/000003.jpg").unlink()
    classes = {label.name: label.id for label in yolo_label_map(yolo)}
    admitted = list(admit_all(read_yolo(yolo, "train"), yolo, "", classes))
    ledger = sum((account for _, account in admitted), Ledger())
    ledger.require_balance("train")
    [image] = [image for image, _ in admitted if image]
    assert (image.source_id, len(image.boxes)) == ("images/train/000001.jpg", whole[0] + 1)
    assert ledger.images.dropped == {"unreadable label file": 1, "missing image file": 1}
    assert (ledger.boxes.kept, ledger.boxes.clipped.total()) == (whole[0], 1)
    one_each = ("malformed row", "unknown category", "non-finite box", "zero-area box", "box outside image")
    lost = {"unreadable label file": 2, "missing image file": whole[2]}
    assert ledger.boxes.dropped == dict.fromkeys(one_each, 1) | lost


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text("0123456789.eE+- \t\r\nnaif_", max_size=60).map(str.encode))
def test_no_bytes_are_too_odd(yolo: Path, content: bytes) -> None:
    (yolo / FIRST).write_bytes(content)
    images, findings = read(yolo)
    assert len(images) == 3
    assert all(finding.message and json.loads(finding.to_json()) for finding in findings)
