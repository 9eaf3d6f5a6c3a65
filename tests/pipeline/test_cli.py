"""What the command answers to wrong usage and unusable data: exit codes and one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from pipeline.cli import main


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    splits = {split: f"{split}.json" for split in ("train", "eval")}
    source = {"format": "coco", "path": str(tmp_path), "splits": splits, "images": dict.fromkeys(splits, "images")}
    registry = {"name": "tiny", "uri": str(tmp_path / "registry")}
    path.write_text(
        yaml.safe_dump({"name": "tiny", "root": str(tmp_path / "root"), "source": source, "registry": registry})
    )
    return path


def invoke(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "detector.training.epoch=3"], "did you mean detector.training.epochs"),
        (["--set", "detector"], "not of the form key=value"),
        (["--set", "source.format=kitti"], "source.format='kitti'"),
        (["--nonsense"], "No such option"),
        (["--summary", "/dev/null/summary.json"], "cannot be made a folder"),
        (["--set", "root=/dev/null/root"], "/dev/null/root/logs: cannot be made a folder"),
        (["--only", "Traner"], "Traner: there is no such node; did you mean Trainer?"),
        (["--from", "VocExampleGen"], "VocExampleGen: there is no such node; did you mean CocoExampleGen?"),
        (["--set", "metadata=mysql://me:secret@host/db"], "set MYSQL_PWD"),
    ],
)
def test_wrong_usage_exits_with_2(config: Path, words: list[str], says: str):
    result = invoke("run", "--config", str(config), *words)
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output
    assert "secret" not in result.output
    assert not (config.parent / "root").exists() or "/dev/null" in words[-1]


def test_a_missing_config_exits_with_2(tmp_path: Path):
    result = invoke("run", "--config", str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert "none.yaml: cannot be read" in result.output


COCO = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
ENTRY = {"id": 1, "file_name": "../../etc/passwd", "width": 10, "height": 10}


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (None, "train.json: annotation file not found"),
        ("", "train.json"),
        ("{", "train.json"),
        (json.dumps(COCO), "no images"),
        (json.dumps({**COCO, "categories": []}), "train.json"),
        (json.dumps({**COCO, "images": [ENTRY]}), "../../etc/passwd"),
        (json.dumps({**COCO, "images": [{**ENTRY, "file_name": "gone.jpg"}]}), "gone.jpg"),
    ],
    ids=["missing", "empty", "not-json", "no-images", "no-categories", "escaping", "image-missing"],
)
def test_unusable_data_fails_with_one_sentence(config: Path, train: str | None, says: str):
    if train is not None:
        (config.parent / "train.json").write_text(train)
    (config.parent / "images").mkdir()
    Image.new("RGB", (10, 10)).save(config.parent / "images/good.jpg")
    (config.parent / "eval.json").write_text(json.dumps({**COCO, "images": [{**ENTRY, "file_name": "good.jpg"}]}))
    summary = config.parent / "summary.json"
    result = invoke("run", "--config", str(config), "--summary", str(summary))
    assert result.exit_code == 1, result.output
    written = json.loads(summary.read_text())
    assert written["outcome"] == "FAILED"
    assert written["model"] is None
    [reason] = written["reasons"]
    assert says in reason
    assert "\n" not in reason
    assert "Traceback" not in result.output


def test_damaged_metadata_are_told_in_a_sentence_before_any_work(config: Path):
    (config.parent / "root").mkdir()
    (config.parent / "root/metadata.db").write_bytes(b"no database" * 1000)
    result = invoke("run", "--config", str(config))
    assert result.exit_code == 1
    assert "metadata.db: is damaged, or no database of ours (file is not a database); put a copy" in result.output
    assert "Traceback" not in result.output
    assert not (config.parent / "root/artifacts").exists()


def test_compiling_for_an_unknown_engine_exits_with_2(config: Path):
    assert invoke("compile", "--config", str(config), "--engine", "airflow", "--output", "x.json").exit_code == 2
