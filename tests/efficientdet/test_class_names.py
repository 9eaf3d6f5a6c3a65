"""Tables, mappings and files of class names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from efficientdet.class_names import KNOWN, named_classes
from efficientdet.errors import ConfigError
from efficientdet.label_map import LabelMap


def test_tables():
    coco = named_classes("coco")
    assert (len(coco), len(coco) - coco.count(None)) == (90, 80)
    assert (coco[0], coco[11], coco[16], coco[89]) == ("person", None, "cat", "toothbrush")
    assert (len(named_classes("voc")), named_classes("voc")[7]) == (20, "cat")
    assert named_classes("waymo") == ("vehicle", "pedestrian", "cyclist")


def test_tables_equal_the_reference(shared: Path):
    golden = json.loads((shared / "golden/manifest.json").read_text())["label_maps"]
    assert {name: named_classes({int(i): n for i, n in ids.items()}) for name, ids in golden.items()} == KNOWN


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.yaml", "1: cat\n3: dog\n"),
        ("map.json", '{"1": "cat", "3": "dog"}'),
        ("map.yaml", "- id: 1\n  name: cat\n- id: 3\n  name: dog\n"),
    ],
)
def test_files_with_gaps(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    assert named_classes(tmp_path / name) == ("cat", None, "dog")
    assert named_classes(str(tmp_path / name)) == ("cat", None, "dog")


def test_lists_and_label_maps_of_ours(tmp_path: Path):
    (tmp_path / "names.yaml").write_text("[cat, dog]")
    (tmp_path / "label_map.json").write_text(LabelMap.from_categories([{"id": 7, "name": "cat"}]).to_json())
    assert named_classes(tmp_path / "names.yaml") == ("cat", "dog")
    assert named_classes(tmp_path / "label_map.json") == ("cat",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "neither YAML nor JSON"),
        ("hello", "class ids and names are needed"),
        ("", "class ids and names are needed"),
        ("cat: 1", "class ids and names are needed"),
        ("0: background\n1: cat", "class ids count from 1"),
        ("{}", "class ids count from 1"),
        ("- 1\n- 2", "class ids and names are needed"),
        ("- id: 1\n", "class ids and names are needed"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, text: str, reason: str):
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"map\.yaml: .*{reason}"):
        named_classes(tmp_path / "map.yaml")


def test_a_missing_file_names_the_tables():
    with pytest.raises(ConfigError, match="coko: neither a label map file nor one of coco, voc, waymo"):
        named_classes("coko")
