"""Classes of foreign records: every way a label map can be written, and what the records themselves say."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from efficientdet.data.tfod_classes import MAX_BYTES, TfodClasses
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap


@pytest.fixture
def pbtxt(tmp_path: Path) -> Path:
    return tmp_path / "label_map.pbtxt"


def ids(classes: TfodClasses) -> list[tuple[int, str, int]]:
    return [(label.id, label.name, label.category_id) for label in classes.label_map]


@pytest.mark.parametrize(
    "text",
    [
        "item { id: 1 name: 'cat' }\nitem { id: 3 name: 'dog' }",
        'item: <\n  name: "dog", id: 3\n>  # the last first\nitem {\n  name: "cat";\n  id: 1;\n}\n',
        'item { id: 0 name: "background" } item { id: 1 name: "cat" } item { id: 3 name: "d" "og" points { x: 1 } }',
        '\ufeffitem { id: 1 name: "\\143at" }\nitem { id: 3 name: "dog" frequency: FREQUENT }',
    ],
)
def test_a_label_map_is_protobuf_text(pbtxt: Path, text: str) -> None:
    pbtxt.write_text(text, encoding="utf-8")
    classes = TfodClasses.from_pbtxt(pbtxt)
    assert ids(classes) == [(1, "cat", 1), (2, "dog", 3)]
    assert classes.by_label == {1: "cat", 3: "dog"}
    assert classes.by_text == {"cat": "cat", "dog": "dog"}


def test_a_class_is_called_by_its_display_name(pbtxt: Path) -> None:
    pbtxt.write_text('item { id: 44 name: "/m/04dr76w" display_name: "bottle" } item { id: 1 name: "/m/01g317" }')
    classes = TfodClasses.from_pbtxt(pbtxt)
    assert ids(classes) == [(1, "/m/01g317", 1), (2, "bottle", 44)]
    assert classes.by_text == {"/m/04dr76w": "bottle", "/m/01g317": "/m/01g317", "bottle": "bottle"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "every item needs an id of its own above 0 and a name"),
        ("item { name: 'cat' }", "every item needs an id of its own"),
        ("item { id: 1 }", "every item needs an id of its own"),
        ("item { id: -1 name: 'cat' }", "every item needs an id of its own"),
        ("item { id: 1 name: 'a' } item { id: 1 name: 'b' }", "every item needs an id of its own"),
        ("item { id: 1 name: 'a' } item { id: 2 name: 'a' }", "name 'a' is given to two classes"),
        ("item { id: 1 name: 'a'", "is no label map"),
        ("item { id: 99999999999 name: 'a' }", "is no label map"),
        ('[{"id": 1}]', "is no label map"),
        ("item " * 3, "is no label map"),
    ],
)
def test_what_is_no_label_map_is_one_sentence(pbtxt: Path, text: str, says: str) -> None:
    pbtxt.write_text(text)
    with pytest.raises(DataError, match=rf"label_map\.pbtxt: .*{says}.*; give the label_map\.pbtxt") as caught:
        TfodClasses.from_pbtxt(pbtxt)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(pbtxt: Path) -> None:
    with pytest.raises(DataError, match="the label map cannot be read"):
        TfodClasses.from_pbtxt(pbtxt)
    pbtxt.write_bytes(b"item { name: '\xff' }")
    with pytest.raises(DataError, match="is no label map"):
        TfodClasses.from_pbtxt(pbtxt)
    with pbtxt.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match=f"it is larger than {MAX_BYTES} bytes"):
        TfodClasses.from_pbtxt(pbtxt)


def record(texts: list[bytes], labels: list[int]) -> bytes:
    feature = {
        "image/object/class/text": tf.train.Feature(bytes_list=tf.train.BytesList(value=texts)),
        "image/object/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=labels)),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.mark.parametrize(
    ("records", "expected", "by_label"),
    [
        (
            [record([b"dog", b"cat"], [3, 1]), record([b"cat"], [1])],
            [(1, "cat", 1), (2, "dog", 3)],
            {1: "cat", 3: "dog"},
        ),
        ([record([b"dog", b"cat"], [1, 1])], [(1, "cat", 1), (2, "dog", 2)], {}),
        ([record([b"dog"], [1]), record([b"dog"], [2])], [(1, "dog", 1)], {}),
        ([record([b"dog", b"cat"], [])], [(1, "cat", 1), (2, "dog", 2)], {}),
        ([record([b"cat"], [0])], [(1, "cat", 1)], {}),
        ([record([b"\xff"], [1]), b"no record", record([b"", b"cat"], [7, 7])], [(1, "cat", 7)], {7: "cat"}),
    ],
)
def test_texts_found_keep_their_numbers_where_they_have_any(
    tmp_path: Path, records: list[bytes], expected: list[tuple[int, str, int]], by_label: dict[int, str]
) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "a.record")) as writer:
        for content in records:
            writer.write(content)
    classes = TfodClasses.found_in([tmp_path / "a.record"])
    assert ids(classes) == expected
    assert classes.by_label == by_label


def test_records_without_texts_need_a_label_map(tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "a.record")) as writer:
        writer.write(record([], [1]))
    with pytest.raises(DataError, match=r"a\.record: the records name no class; give the label_map\.pbtxt"):
        TfodClasses.found_in([tmp_path / "a.record"])


def test_numbers_in_our_examples_are_class_ids() -> None:
    labels = LabelMap.from_categories([{"id": 90, "name": "toothbrush"}, {"id": 7, "name": "train"}])
    classes = TfodClasses.of_examples(labels)
    assert classes.by_label == {1: "train", 2: "toothbrush"}
    assert classes.label_map == labels
