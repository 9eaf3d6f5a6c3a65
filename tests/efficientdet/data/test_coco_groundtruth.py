"""The groundtruth of a COCO file is what pycocotools reads of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from efficientdet.data.coco_groundtruth import CocoGroundtruth
from efficientdet.errors import DataError

CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}]


def groundtruth(path: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> CocoGroundtruth:
    file = path / "a.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))
    return CocoGroundtruth(file)


def test_real_annotations_are_those_of_pycocotools(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shared / "data/coco_mini/annotations/instances_val2017.json"
    found, theirs = CocoGroundtruth(path), COCO(path)
    assert list(found) == [str(image["id"]) for image in theirs.dataset["images"]]
    assert [label.category_id for label in found.label_map] == sorted(theirs.getCatIds())
    seen = 0
    for image_id in found:
        truth, annotations = found[image_id], theirs.imgToAnns[int(image_id)]
        assert found.size(image_id) == tuple(theirs.imgs[int(image_id)][side] for side in ("height", "width"))
        np.testing.assert_array_equal(truth.boxes_xywh, np.reshape([a["bbox"] for a in annotations], (-1, 4)))
        np.testing.assert_array_equal(truth.area, [a["area"] for a in annotations])
        np.testing.assert_array_equal(truth.is_crowd, [a["iscrowd"] == 1 for a in annotations])
        categories = [found.label_map[c].category_id for c in truth.classes]
        assert categories == [a["category_id"] for a in annotations]
        seen += len(annotations)
    assert seen == 815


def test_what_the_file_does_not_say_has_its_usual_value(tmp_path: Path) -> None:
    annotation = {"image_id": 7, "category_id": 90, "bbox": [1, 2, 3, 4]}
    found = groundtruth(tmp_path, [{"id": 7}, {"id": 8}], [annotation, annotation | {"difficult": 1, "iscrowd": 1}])
    truth = found["7"]
    assert (truth.area.tolist(), truth.is_crowd.tolist()) == ([12, 12], [False, True])
    assert (truth.difficult.tolist(), truth.classes.tolist()) == ([False, True], [2, 2])
    assert found.size("7") == (0, 0)
    assert np.asarray(found["8"].boxes_xywh).shape == (0, 4)


def test_strangers_are_left_out_and_an_id_counts_once(tmp_path: Path) -> None:
    annotation = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 5}
    strangers = [annotation | {"category_id": 2}, annotation | {"image_id": 9}]
    images = [{"id": 7}, {"id": 7, "file_name": "a.jpg", "height": 5, "width": 6}]
    found = groundtruth(tmp_path, images, [*strangers, annotation])
    assert (len(found), list(found), "9" in found, "7" in found) == (1, ["7"], False, True)
    assert (len(np.asarray(found["7"].area)), found.size("7")) == (1, (5, 6))


@pytest.mark.parametrize("bbox", [None, [1, 2, 3], ["1", 2, 3, 4], [1, 2, 3, float("nan")], [1, 2, 3, 10**400]])
def test_a_box_that_is_none_is_named(tmp_path: Path, bbox: Any) -> None:
    found = groundtruth(tmp_path, [{"id": 7}], [{"id": 5, "image_id": 7, "category_id": 1, "bbox": bbox}])
    with pytest.raises(DataError, match=r"a\.json: annotation 5 has no box of four finite numbers \(bbox "):
        found["7"]
