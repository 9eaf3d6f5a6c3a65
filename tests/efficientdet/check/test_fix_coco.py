"""A clean copy of a COCO file: what is gone, what is mended, and that all else stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from efficientdet.check.inspection import check_splits
from efficientdet.check.report import Report
from efficientdet.check.split import coco_splits
from efficientdet.config import Config


def fix(data, tmp_path: Path) -> dict[str, Any]:
    """The clean form of the split `train`; asserts that the input stays, and that the copy has no error."""
    before = data.file("train").read_bytes()
    report = data.check("train", fix=tmp_path / "clean")
    assert report.fixed == [tmp_path / "clean" / "train.json"]
    assert (data.root / "train.json").read_bytes() == before
    again = check_again(data, tmp_path)
    assert again.verdict() is None, again.verdict()
    assert not {"B305", "B306"} & again.cases.keys()
    return json.loads((tmp_path / "clean" / "train.json").read_text())


def check_again(data, tmp_path: Path) -> Report:
    return check_splits(coco_splits([(tmp_path / "clean" / "train.json", data.root / "train")]), Config())


def test_what_is_sound_stays_as_it_is(data, tmp_path: Path) -> None:
    assert fix(data, tmp_path) == data.splits["train"]


def test_every_kind_of_mending(data, tmp_path: Path) -> None:
    train = data.splits["train"]
    images, boxes = train["images"], train["annotations"]
    images[0]["file_name"] = "none.png"  # lost with its boxes 1 and 2
    del images[1]["height"], images[1]["width"]
    boxes[2]["bbox"] = [5, 5, 0, 5]  # annotation 3, lost
    boxes[4].update(bbox=[100, 80, 60, 60], area=3600)  # 5, cut
    boxes[5]["id"] = 5  # one more of that id
    del boxes[6]["area"], boxes[6]["iscrowd"]  # 7
    boxes.append(boxes[7] | {"id": 100})  # the same as 8
    boxes.append(boxes[7] | {"id": 101, "image_id": 77})  # of no image
    boxes.append({key: value for key, value in boxes[8].items() if key != "id"} | {"bbox": [60, 60, 20, 20]})
    clean = fix(data, tmp_path)
    assert [image["id"] for image in clean["images"]] == list(range(2, 13))
    assert clean["images"][0] == {"id": 2, "file_name": "2.png", "licence": 1, "height": 96, "width": 128}
    by_id = {annotation["id"]: annotation for annotation in clean["annotations"]}
    assert len(by_id) == len(clean["annotations"]), "ids differ"
    assert by_id.keys() == set(range(4, 25)) - {6} | {102, 103}
    assert by_id[5]["bbox"] == [100, 80, 28, 16]
    assert by_id[5]["area"] == 28 * 16
    assert by_id[102] == boxes[5] | {"id": 102}
    assert by_id[7]["iscrowd"] == 0
    assert by_id[7]["area"] == by_id[7]["bbox"][2] * by_id[7]["bbox"][3]
    assert by_id[103]["bbox"] == [60, 60, 20, 20]
    assert all(annotation["attributes"] == {"by": "hand"} for annotation in clean["annotations"])
    assert clean["info"] == train["info"]
    assert clean["licenses"] == train["licenses"]
    assert clean["categories"] == train["categories"]


def test_boxes_of_an_image_listed_twice_go_to_the_first(data, tmp_path: Path) -> None:
    train = data.splits["train"]
    train["images"].append(train["images"][0] | {"id": "copy", "file_name": "./1.png"})
    train["annotations"].append(data.annotation(70, "copy", 1, [70, 60, 30, 30]))
    clean = fix(data, tmp_path)
    assert clean["images"] == data.splits["train"]["images"][:-1]
    assert clean["annotations"][-1] == train["annotations"][-1] | {"image_id": 1}


def test_ids_that_all_are_zero(data, tmp_path: Path) -> None:
    boxes = data.splits["train"]["annotations"]
    for annotation in boxes:
        annotation["id"] = 0
    boxes[0]["bbox"] = [0, 0, 0, 0]  # of two records with one name, the first is lost
    boxes[3]["bbox"] = [0, 0, 0, 0]  # and here the second
    clean = fix(data, tmp_path)["annotations"]
    assert [a["bbox"] for a in clean] == [a["bbox"] for i, a in enumerate(boxes) if i not in (0, 3)]
    assert len({a["id"] for a in clean}) == len(clean)


def test_entries_that_are_no_records(data, tmp_path: Path) -> None:
    train = data.splits["train"]
    sound = json.loads(json.dumps(train))
    train["images"] += [7, {}]
    train["annotations"] += [None, [], {"image_id": 1, "bbox": "all"}]
    assert fix(data, tmp_path) == sound


number = st.one_of(st.floats(-50, 200, width=32), st.sampled_from([0, float("nan"), float("inf"), "7", None]))
boxes = st.one_of(st.lists(number, min_size=3, max_size=5), st.none())


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 14), st.integers(0, 3), boxes), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_copy_is_free_of_errors(data, tmp_path_factory: pytest.TempPathFactory, rows) -> None:
    original = json.loads(json.dumps(data.splits["train"]))
    data.splits["train"]["annotations"] += [
        {"id": i, "image_id": image, "category_id": category, "bbox": box} for i, image, category, box in rows
    ]
    try:
        clean = fix(data, tmp_path_factory.mktemp("fixed"))
    finally:
        data.splits["train"] = original
    assert len(clean["annotations"]) >= 24 - len(rows)
