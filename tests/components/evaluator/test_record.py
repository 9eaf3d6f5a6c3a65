from __future__ import annotations

import logging
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest

from components.evaluator.record import (
    SCORED_FOLDER,
    WriteScoredImages,
    WriteThroughput,
    WriteUnscored,
    read_throughput,
    read_unscored,
    record_into,
    recorded_into,
)
from efficientdet.coco_metric import Groundtruth
from efficientdet.scored_image import Found, ScoredImage, read_scored_images

NOTHING = Groundtruth(np.zeros((0, 4)), [], [], [])


def image(i: int) -> ScoredImage:
    return ScoredImage(f"{i}", 2, 3, NOTHING, {"int8": Found(np.full((1, 4), i / 3), np.ones(1, int), np.ones(1) / 7)})


def run(source: list, write: beam.PTransform) -> None:
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = pipeline | beam.Create(source) | write


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_image_is_written_once(tmp_path: Path) -> None:
    run([image(i) for i in range(200)], WriteScoredImages(str(tmp_path)))
    folder = tmp_path / SCORED_FOLDER
    back = {each.image_id: each for each in read_scored_images(folder)}
    assert len(list(read_scored_images(folder))) == len(back) == 200
    assert back["199"].found["int8"].boxes_xywh.tolist() == [[199 / 3] * 4]
    assert 1 < len(list(folder.iterdir())) <= 32


def test_a_second_attempt_leaves_the_same_files(tmp_path: Path) -> None:
    """Whatever order Beam hands the images over in."""
    images = [image(i) for i in range(50)]
    run(images, WriteScoredImages(str(tmp_path)))
    first = content(tmp_path / SCORED_FOLDER)
    run(images[::-1], WriteScoredImages(str(tmp_path)))
    assert content(tmp_path / SCORED_FOLDER) == first


def test_no_images_are_no_files(tmp_path: Path) -> None:
    run([], WriteScoredImages(str(tmp_path)))
    assert not (tmp_path / SCORED_FOLDER).exists()


def test_speeds_are_summed_up_and_logged_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    timings = [("int8", (6, 0.5)), ("champion/float", (8, 4.0)), ("int8", (2, 1.5))]
    with caplog.at_level(logging.INFO, logger="components.evaluator.record"):
        run(timings, WriteThroughput(str(tmp_path)))
    assert read_throughput(tmp_path) == {
        "champion/float": {"images": 8, "seconds": 4.0, "images_per_second": 2.0},
        "int8": {"images": 8, "seconds": 2.0, "images_per_second": 4.0},
    }
    assert [record.message for record in caplog.records] == ["images/s: champion/float 2.0, int8 4.0"]


def test_what_was_not_scored_is_listed_and_so_is_nothing(tmp_path: Path) -> None:
    run([("b", "no image"), ("ä", "no example")], WriteUnscored(str(tmp_path / "some")))
    run([], WriteUnscored(str(tmp_path / "none")))
    assert read_unscored(tmp_path / "some") == {"b": "no image", "ä": "no example"}
    assert read_unscored(tmp_path / "none") == {}
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["unscored_images.json"]


def test_a_record_is_kept_only_where_it_is_asked_for() -> None:
    assert recorded_into() is None
    with record_into("/evaluation"):
        assert recorded_into() == "/evaluation"
    assert recorded_into() is None
