"""The cache key of example generation: content, whatever the files' times say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tfx.orchestration import data_types

from components.example_gen import CocoExampleGen
from components.example_gen.driver import ContentDriver
from efficientdet.data.demo import write_demo_data
from efficientdet.data.fingerprint import coco_fingerprint

SPLITS = {"train": "annotations/instances_train.json", "eval": "annotations/instances_eval.json"}
FOLDERS = {"train": "train", "eval": "eval"}


def component(base: Path) -> CocoExampleGen:
    return CocoExampleGen(str(base), SPLITS, FOLDERS, 0.0, coco_fingerprint(base, SPLITS, FOLDERS))


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    write_demo_data(tmp_path / "demo", images={"train": 2, "eval": 1})
    return tmp_path / "demo"


def resolved(base: Path, fingerprint: str | None = None) -> dict[str, Any]:
    made = component(base) if fingerprint is None else CocoExampleGen(str(base), SPLITS, FOLDERS, 0.0, fingerprint)
    info = data_types.PipelineInfo("", "")
    properties = ContentDriver(None).resolve_exec_properties(
        dict(made.exec_properties), info, data_types.ComponentInfo("", "", info)
    )
    assert properties["span"] == 0
    return properties


def touch(base: Path) -> None:
    for path in base.rglob("*"):
        os.utime(path, (1, 1))


def test_touching_changes_nothing_and_one_byte_does(demo: Path) -> None:
    before = resolved(demo)
    touch(demo)
    assert resolved(demo) == before
    image = next((demo / "eval").iterdir())
    image.write_bytes(image.read_bytes()[:-1] + b"\0")
    assert resolved(demo) != before


def test_without_a_hash_of_the_content_tfx_decides(demo: Path) -> None:
    before = resolved(demo, "")
    assert "total_bytes" in before["input_fingerprint"]
    touch(demo)
    assert resolved(demo, "") != before


def test_a_touched_data_set_comes_from_the_cache(run, demo: Path) -> None:
    folder = run(component(demo))
    touch(demo)
    assert run(component(demo)) == folder
