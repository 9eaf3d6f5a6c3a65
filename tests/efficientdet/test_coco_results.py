"""COCO's result files: read, they score as pycocotools says; written, they are read again."""

from __future__ import annotations

import contextlib
import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, match_images
from efficientdet.coco_results import CocoResults, results_images, write_results, write_submission
from efficientdet.data import json_stream
from efficientdet.data.coco_groundtruth import CocoGroundtruth
from efficientdet.errors import DataError
from efficientdet.scored_image import Found, ScoredImage

GOLDEN = {
    "cocoapi": (
        "golden/cocoapi_val2014_100/instances_val2014_100.json",
        "golden/cocoapi_val2014_100/instances_val2014_fakebbox100_results.json",
    ),
    "coco_mini": ("coco_mini/annotations/instances_val2017.json", "golden/ssd_mobilenet_v1_on_coco_mini_val.json"),
}
DETECTION = {"image_id": 7, "category_id": 90, "bbox": [1, 2, 3, 4], "score": 0.5}
NUMBER = st.integers(0, 40_000).map(lambda n: n / 64)  # exact in thousandths of a pixel, and as differences


def scores(images: Any) -> dict[str, float | None]:
    return CocoAccumulator(match_images([image.scene("theirs") for image in images])).compute().metrics


@pytest.mark.parametrize("case", GOLDEN)
def test_the_golden_files_score_as_pycocotools_says(shared: Path, case: str) -> None:
    annotations, results = (shared / "data" / name for name in GOLDEN[case])
    groundtruth = CocoGroundtruth(annotations)
    ours = scores(results_images({"theirs": CocoResults(results, groundtruth)}, groundtruth))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(annotations)
        judge = COCOeval(coco, coco.loadRes(str(results)), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    np.testing.assert_allclose([ours[name] for name in COCO_METRICS], judge.stats, rtol=0, atol=1e-12)


@pytest.fixture
def groundtruth(tmp_path: Path) -> CocoGroundtruth:
    """Two images, with nothing in them to find."""
    path = tmp_path / "instances.json"
    categories = [{"id": 3, "name": "cat"}, {"id": 90, "name": "dog"}]
    path.write_text(json.dumps({"images": [{"id": 7}, {"id": 8}], "annotations": [], "categories": categories}))
    return CocoGroundtruth(path)


@pytest.fixture
def read(tmp_path: Path, groundtruth: CocoGroundtruth) -> Callable[[Any], CocoResults]:
    """Reads a result file with that content, a text or what becomes JSON."""

    def write_and_read(content: Any) -> CocoResults:
        path = tmp_path / "results.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return CocoResults(path, groundtruth)

    return write_and_read


def test_detections_come_by_image_and_falling_score(read: Callable[[Any], CocoResults]) -> None:
    changes = [{"score": 0.2}, {"score": 0.9, "image_id": "7"}, {"bbox": [0, 0, 1, 1]}, {}, {"image_id": 8.0}]
    results = read([DETECTION | change for change in changes])
    found = results["7"]
    assert found.scores.tolist() == [0.9, 0.5, 0.5, 0.2]
    assert found.boxes_xywh[1:3].tolist() == [[0, 0, 1, 1], [1, 2, 3, 4]], "equal scores keep their order"
    assert (found.classes.tolist(), found.classes.dtype) == ([2, 2, 2, 2], np.int32)
    assert (len(results["8"].scores), len(results["9"].scores)) == (1, 0)
    assert (results.detections, results.strangers) == (5, 0)


def test_no_detections_are_a_result_and_unknown_categories_count_for_nothing(
    read: Callable[[Any], CocoResults],
) -> None:
    assert read([]).detections == 0
    results = read([DETECTION, DETECTION | {"category_id": 2}, DETECTION | {"category_id": 10**30}])
    assert (results.detections, results.strangers, len(results["7"].scores)) == (3, 2, 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the result file is empty; give a COCO result file: a list of"),
        ('{"annotations": []}', "the result file holds no JSON list"),
        ('[{"image_id": 7', "the result file is not JSON"),
        ([DETECTION | {"image_id": 9}, DETECTION | {"image_id": 10}], "2 of its images, as id 10, are not listed in"),
        ([DETECTION, 5, None], r"2 of 3 entries are no detections \(the first, at place 1, is 5\)"),
        ([DETECTION | {"score": float("nan")}], "1 of 1 entries are no detections"),
        ([DETECTION | {"score": "0.5"}], "1 of 1 entries are no detections"),
        ([DETECTION | {"bbox": [0, 0, 1, float("inf")]}], "1 of 1 entries are no detections"),
        ([DETECTION | {"bbox": [0, 0, 1]}], "1 of 1 entries are no detections"),
        ([{"image_id": 7, "category_id": 3, "segmentation": [], "score": 1}], "1 of 1 entries are no detections"),
        ("[" + "[" * 100_000 + "]" * 100_000 + "]", "1 of 1 entries are no detections"),
    ],
)
def test_what_is_no_result_file_is_one_sentence(read: Callable[[Any], CocoResults], content: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as error:
        read(content)
    assert "results.json" in str(error.value)
    assert len(str(error.value)) < 500


def test_the_memory_does_not_grow_with_the_file(
    groundtruth: CocoGroundtruth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 1 << 14)
    path, peaks = tmp_path / "results.json", []
    for count in (5_000, 20_000):
        path.write_text(json.dumps([DETECTION] * count))
        tracemalloc.start()
        assert CocoResults(path, groundtruth).detections == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < path.stat().st_size


@st.composite
def images(draw: st.DrawFn) -> list[ScoredImage]:
    found = []
    for image_id in draw(st.lists(st.integers(0, 10**12), unique=True, max_size=3)):
        m = draw(st.integers(0, 4))
        boxes = np.array(draw(st.lists(NUMBER, min_size=4 * m, max_size=4 * m)), float).reshape(m, 4)
        classes = np.array(draw(st.lists(st.integers(1, 2), min_size=m, max_size=m)), np.int32)
        marks = draw(st.lists(st.floats(0, 1, width=32), min_size=m, max_size=m))
        detections = Found(boxes, classes, np.sort(np.array(marks, float))[::-1])
        found.append(ScoredImage(str(image_id), 5, 5, None, {"theirs": detections}))
    return found


@settings(max_examples=30, deadline=None)
@given(images=images())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, images: list[ScoredImage]) -> None:
    folder = tmp_path_factory.mktemp("results")
    listed = {"images": [{"id": int(image.image_id)} for image in images] or [{"id": 0}], "annotations": []}
    categories = [{"id": 3, "name": "cat"}, {"id": 90, "name": "dog"}]
    (folder / "instances.json").write_text(json.dumps(listed | {"categories": categories}))
    groundtruth = CocoGroundtruth(folder / "instances.json")
    count = write_results(folder / "results.json", images, "theirs", groundtruth.label_map)
    results = CocoResults(folder / "results.json", groundtruth)
    assert results.detections == count == sum(len(image.found["theirs"].scores) for image in images)
    for image in images:
        back, sent = results[image.image_id], image.found["theirs"]
        np.testing.assert_allclose(back.boxes_xywh, sent.boxes_xywh, rtol=0, atol=5.1e-4)
        np.testing.assert_array_equal(back.classes, sent.classes)
        np.testing.assert_array_equal(np.float32(back.scores), np.float32(sent.scores))
    assert sorted(path.name for path in folder.iterdir()) == ["instances.json", "results.json"]


def test_the_submission_is_named_and_packed_as_the_server_wants_it(
    groundtruth: CocoGroundtruth, tmp_path: Path
) -> None:
    detections = Found(np.array([[1.0, 2.0, 3.5, 4.25]]), np.array([2], np.int32), np.array([0.1 + 0.2]))
    image = ScoredImage("000000000139", 5, 5, None, {"theirs": detections})
    path, count = write_submission(tmp_path / "new", "lite0", [image], "theirs", groundtruth.label_map)
    assert (path, count) == (tmp_path / "new/detections_test-dev2017_lite0_results.zip", 1)
    name = "detections_test-dev2017_lite0_results.json"
    assert sorted(file.name for file in path.parent.iterdir()) == [name, path.name]
    with zipfile.ZipFile(path) as packed:
        assert packed.namelist() == [name]
        entries = json.loads(packed.read(name))
    assert entries == json.loads((path.parent / name).read_text())
    assert entries == [{"image_id": 139, "category_id": 90, "bbox": [1.0, 2.0, 3.5, 4.25], "score": 0.3}]


def test_an_id_that_is_no_number_cannot_be_submitted(groundtruth: CocoGroundtruth, tmp_path: Path) -> None:
    image = ScoredImage("a.jpg", 5, 5, None, {"theirs": Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0))})
    with pytest.raises(DataError, match=r"image a\.jpg: its id is no whole number"):
        write_results(tmp_path / "results.json", [image], "theirs", groundtruth.label_map)
    assert [path.name for path in tmp_path.iterdir()] == ["instances.json"]


def test_a_second_writer_of_the_same_file_does_no_harm(groundtruth: CocoGroundtruth, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    found = Found(np.array([[1.0, 2.0, 3.5, 4.25]]), np.array([2], np.int32), np.array([0.5]))

    def images() -> Iterator[ScoredImage]:
        yield ScoredImage("1", 5, 5, None, {"theirs": found})
        write_results(path, [], "theirs", groundtruth.label_map)
        assert json.loads(path.read_text()) == []
        yield ScoredImage("2", 5, 5, None, {"theirs": found})

    assert write_results(path, images(), "theirs", groundtruth.label_map) == 2
    assert [entry["image_id"] for entry in json.loads(path.read_text())] == [1, 2]
