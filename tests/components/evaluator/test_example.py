from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.evaluator.example import Example, Unscored, read_example, undecodable
from efficientdet.data.example import to_example

from .conftest import LABELS, SIZE, picture


def record(**features: list) -> tf.train.Example:
    """A picture of two objects, with features added, changed or (empty) left out."""
    example = to_example(picture(np.random.default_rng(0), [1, 2], "7", group="dark"), LABELS)
    for name, values in features.items():
        feature = example.features.feature[name.replace("__", "/")]
        feature.Clear()
        if values:
            kind = feature.bytes_list if isinstance(values[0], bytes) else feature.int64_list
            kind.value.extend(values)
    return example


def read(example: tf.train.Example) -> Example:
    found = read_example(example.SerializeToString())
    assert isinstance(found, Example)
    return found


def test_an_example_is_all_that_the_record_says() -> None:
    example = read(record(camera=[b"roof"], floor=[3]))
    assert (example.image.image_id, example.image.height, example.image.width) == ("7", SIZE, SIZE)
    assert np.shape(example.image.truth.boxes_xywh) == (2, 4)
    assert undecodable(example) is None
    kept = {name: example.features[name].tolist() for name in ("camera", "floor", "image/group", "image/source_id")}
    assert kept == {"camera": [b"roof"], "floor": [3], "image/group": [b"dark"], "image/source_id": ["7"]}
    assert "image/encoded" not in example.features


def test_a_record_without_an_id_is_sliced_by_the_one_it_is_scored_under() -> None:
    example = read(record(image__source_id=[]))
    assert example.features["image/source_id"].tolist() == [example.image.image_id] == ["7.png"]


def test_a_name_that_is_no_text() -> None:
    assert read(record(image__source_id=[b"caf\xe9"])).image.image_id == "caf\\xe9"


def test_an_undecodable_picture_is_named() -> None:
    assert undecodable(read(record(image__encoded=[b"rubbish"]))) == Unscored(
        "7", "Unknown image file format. One of JPEG, PNG, GIF, BMP required."
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"no example", "Could not parse example input, value: 'no example'"),
        (
            record(image__height=[]).SerializeToString(),
            "Feature: image/height (data type: int64) is required but could not be found.",
        ),
    ],
    ids=["rubbish", "part"],
)
def test_a_record_that_is_no_example_is_named_by_its_hash(bad: bytes, reason: str) -> None:
    found = read_example(bad)
    assert isinstance(found, Unscored)
    assert found.image_id.startswith("record sha256:")
    assert found.reason == reason
