"""One label map from annotation to phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.errors import DataError
from efficientdet.label_map import FILE_NAME, LabelMap

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12, unique=True)


@given(NAMES)
def test_json_round_trip_keeps_classes_and_hash(names: list[str]):
    label_map = LabelMap.from_names(names)
    again = LabelMap.from_json(label_map.to_json())
    assert again == label_map
    assert again.hash == label_map.hash
    assert [again[i + 1].name for i in range(len(names))] == names


def test_gaps_in_coco_ids_are_closed_in_id_order():
    label_map = LabelMap.from_categories([{"id": 90, "name": "toothbrush"}, {"id": 0, "name": "person"}])
    assert [(e.id, e.name, e.category_id) for e in label_map] == [(1, "person", 0), (2, "toothbrush", 90)]


def test_hash_depends_on_order():
    assert LabelMap.from_names(["a", "b"]).hash != LabelMap.from_names(["b", "a"]).hash


def test_background_and_unknown_ids_have_no_label():
    label_map = LabelMap.from_names(["a"])
    for class_id in (0, 2, -1):
        with pytest.raises(KeyError):
            label_map[class_id]


def test_ambiguous_maps_are_refused():
    with pytest.raises(DataError, match="'cat' is given to two classes"):
        LabelMap.from_names(["cat", "cat"])
    with pytest.raises(DataError, match="category_id 3"):
        LabelMap.from_categories([{"id": 3, "name": "a"}, {"id": 3, "name": "b"}])


@pytest.mark.parametrize("text", ["", "[1]", '[{"id": 2, "name": "a", "category_id": 1}]', '[{"id": 1}]'])
def test_broken_files_are_named(tmp_path: Path, text: str):
    with pytest.raises(DataError, match="label map"):
        LabelMap.from_json(text)
    with pytest.raises(DataError, match="not found"):
        LabelMap.load(tmp_path)
    (tmp_path / FILE_NAME).write_text(LabelMap.from_names(["a"]).to_json())
    assert LabelMap.load(tmp_path).names == ["a"]
