"""Records: what is written is read back, and genuine records of other writers are understood."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.data.example import AnnotatedImage, parse_example, serialise, to_example
from efficientdet.label_map import LabelMap

LABELS = LabelMap.from_names(["cat", "dög"])


def annotated(boxes: list[list[float]], height: int = 480, width: int = 640, **more: Any) -> AnnotatedImage:
    n = len(boxes)
    return AnnotatedImage(
        source_id="900100256144",
        file_name="ä.jpg",
        encoded=b"\xff\xd8 any bytes \x00",
        image_format="jpeg",
        height=height,
        width=width,
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        classes=np.arange(n, dtype=np.int32) % 2 + 1,
        is_crowd=np.arange(n) % 3 == 1,
        area=np.arange(n, dtype=np.float32) + 0.5,
        difficult=np.arange(n) % 2 == 1,
        **more,
    )


def read_back(image: AnnotatedImage) -> dict[str, np.ndarray]:
    parsed = parse_example(tf.constant(to_example(image, LABELS).SerializeToString()))
    return {key: value.numpy() for key, value in parsed.items()}


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), max_size=5), st.integers(1, 20_000), st.integers(1, 20_000)
)
def test_pixels_survive_to_a_thousandth(boxes_norm: list[tuple[float, ...]], height: int, width: int) -> None:
    boxes = (np.asarray(boxes_norm).reshape(-1, 4) * [height, width, height, width]).astype(np.float32)
    image = annotated(boxes.tolist(), height, width)
    parsed = read_back(image)
    np.testing.assert_allclose(parsed["boxes"], image.boxes, atol=max(height, width) * 2**-23)
    assert (parsed["height"], parsed["width"]) == (height, width)


def test_everything_else_survives_exactly() -> None:
    image = annotated([[0, 0, 480, 640], [1, 2, 3, 4.5]])
    parsed = read_back(image)
    assert parsed["image_bytes"] == image.encoded
    assert parsed["source_id"] == b"900100256144"
    np.testing.assert_array_equal(parsed["boxes"], image.boxes)
    np.testing.assert_array_equal(parsed["classes"], image.classes)
    np.testing.assert_array_equal(parsed["is_crowd"], image.is_crowd)
    np.testing.assert_array_equal(parsed["difficult"], image.difficult)
    np.testing.assert_array_equal(parsed["area"], image.area)
    feature = to_example(image, LABELS).features.feature
    assert feature["image/key/sha256"].bytes_list.value == [hashlib.sha256(image.encoded).hexdigest().encode()]
    assert feature["image/object/class/text"].bytes_list.value == [b"cat", "dög".encode()]
    assert feature["image/object/bbox/xmax"].float_list.value == pytest.approx([1, 4.5 / 640])


@settings(deadline=None)
@given(
    boxes=st.lists(st.tuples(*[st.floats(0, 100, width=32)] * 4).map(list), max_size=3),
    encoded=st.binary(max_size=300) | st.integers(0, 70_000).map(bytes),
    texts=st.lists(st.text(max_size=5) | st.just(os.fsdecode(b"\xff")), min_size=4, max_size=4),
    masks=st.lists(st.binary(max_size=5), max_size=3),
)
def test_one_copy_of_the_image_gives_the_same_record(
    boxes: list[list[float]], encoded: bytes, texts: list[str], masks: list[bytes]
) -> None:
    name, source_id, caption, group = texts
    image = replace(annotated(boxes), encoded=encoded, file_name=name, source_id=source_id)
    image = replace(image, masks=tuple(masks), captions=(caption,), group=group)
    record = to_example(image, LABELS)
    assert tf.train.Example.FromString(serialise(image, LABELS)) == record
    for value in ("image/filename", "image/source_id", "image/caption"):
        record.features.feature[value].bytes_list.value[0].decode()


def test_masks_captions_and_groups_are_in_the_record_where_there_are_any() -> None:
    keys = {"image/object/mask", "image/caption", "image/group"}
    assert not keys & set(to_example(annotated([]), LABELS).features.feature)
    image = annotated([[0, 0, 1, 1]], masks=(b"png",), captions=("one", "two"), group="video 3")
    feature = to_example(image, LABELS).features.feature
    assert [feature[key].bytes_list.value for key in sorted(keys)] == [[b"one", b"two"], [b"video 3"], [b"png"]]


def test_no_boxes_are_empty_lists_of_the_right_shape() -> None:
    parsed = read_back(annotated([]))
    assert parsed["boxes"].shape == (0, 4)
    assert [parsed[key].shape for key in ("classes", "is_crowd", "area")] == [(0,)] * 3
    feature = to_example(annotated([]), LABELS).features.feature
    assert feature["image/object/bbox/ymin"].WhichOneof("kind") == "float_list"


def test_static_shapes_are_known_inside_a_dataset() -> None:
    spec = tf.data.Dataset.from_tensors("").map(parse_example).element_spec
    assert spec["boxes"].shape.as_list() == [None, 4]
    assert spec["area"].shape.as_list() == spec["is_crowd"].shape.as_list() == [None]


def test_genuine_records_without_crowd_and_area(shared: Path) -> None:
    """First record of the raccoon data set: 639x315 pixels, one raccoon at y 24..276, x 142..441."""
    records = tf.data.TFRecordDataset(str(shared / "data/raccoon_tfod/test.record")).map(parse_example)
    parsed = list(records.as_numpy_iterator())
    assert len(parsed) == 40
    assert (parsed[0]["source_id"], parsed[0]["height"], parsed[0]["width"]) == (b"raccoon-129.jpg", 315, 639)
    np.testing.assert_allclose(parsed[0]["boxes"], [[24, 142, 276, 442]], atol=1e-3)
    np.testing.assert_allclose(parsed[0]["area"], [252 * 300], atol=1)
    assert parsed[0]["is_crowd"].tolist() == parsed[0]["difficult"].tolist() == [False]


def test_a_record_without_an_id_is_called_by_its_file_or_its_image() -> None:
    record = to_example(annotated([]), LABELS)

    def source_id() -> bytes:
        return parse_example(tf.constant(record.SerializeToString()))["source_id"].numpy()

    record.features.feature["image/source_id"].bytes_list.value[0] = b""
    assert source_id() == "ä.jpg".encode()
    for key in ("image/source_id", "image/filename"):
        del record.features.feature[key]
    first = source_id()
    assert first.isdigit()
    record.features.feature["image/encoded"].bytes_list.value[0] += b"."
    assert source_id() != first


def test_boxes_without_class_numbers_are_refused() -> None:
    record = to_example(annotated([[0, 0, 9, 9]]), LABELS)
    del record.features.feature["image/object/class/label"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="parse example: image/object/class/label does not hold"):
        parse_example(tf.constant(record.SerializeToString()))
