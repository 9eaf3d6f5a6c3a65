"""`efficientdet to-coco`, on our shards and on genuine foreign records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from efficientdet.cli import cli


@pytest.fixture
def run() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(cli, ["to-coco", *(str(word) for word in words)])


def test_our_shards(run: Callable[..., Result], digit_shards: Path, tmp_path: Path):
    answer = run(f"--examples={digit_shards}/Split-train/*", f"--output={tmp_path}/out")
    assert answer.exit_code == 0, answer.exception
    instances = json.loads((tmp_path / "out/instances.json").read_text())
    first = json.loads((digit_shards / "coco/annotations/instances_train.json").read_text())
    assert sorted(entry["id"] for entry in instances["images"]) == sorted(entry["id"] for entry in first["images"])
    assert [c["id"] for c in instances["categories"]] == [c["id"] for c in first["categories"]]
    boxes = len(first["annotations"])
    assert answer.stdout == f"{tmp_path}/out: images 12 = 12 kept; boxes {boxes} = {boxes} kept\n"
    assert len(list((tmp_path / "out/images").iterdir())) == 12


@pytest.mark.parametrize(
    ("label_map", "expected"),
    [
        (None, {1: "raccoon"}),
        ("item { id: 1 name: 'raccoon' } item { id: 9 name: 'cat' }", {1: "raccoon", 9: "cat"}),
        ("item { id: 5 name: 'raccoon' display_name: 'Waschbär' }", {5: "Waschbär"}),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_foreign_records(
    run: Callable[..., Result],
    shared: Path,
    tmp_path: Path,
    label_map: str | None,
    expected: dict[int, str],
    named: bool,
):
    shutil.copy(shared / "data/raccoon_tfod/test.record", tmp_path)
    if label_map:
        (tmp_path / "label_map.pbtxt").write_text(label_map)
    words = [f"--label-map={tmp_path}/label_map.pbtxt"] if label_map and named else []
    answer = run(f"--examples={tmp_path}/*.record", f"--output={tmp_path}/out", *words)
    assert answer.exit_code == 0, answer.exception
    instances = json.loads((tmp_path / "out/instances.json").read_text())
    assert {category["id"]: category["name"] for category in instances["categories"]} == expected
    assert {a["category_id"] for a in instances["annotations"]} == {min(expected)}
    assert (len(instances["images"]), len(instances["annotations"])) == (40, 44)


def test_what_is_left_out_is_said(run: Callable[..., Result], shared: Path, tmp_path: Path):
    whole = (shared / "data/raccoon_tfod/test.record").read_bytes()
    (tmp_path / "cut.record").write_bytes(whole[:300_000])
    answer = run(f"--examples={tmp_path}/*.record", f"--output={tmp_path}/out")
    assert answer.exit_code == 0, answer.exception
    assert "images 4 = 3 kept + 1 dropped (1 damaged record)" in answer.stdout
    assert f"{tmp_path}/cut.record, record 4: the record is cut off; the file ends there, after 3" in answer.stderr


SHARDS = "--examples={shards}/Split-eval/*"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--examples={tmp}/none/*"], "{tmp}/none/*: no file matches"),
        (["--examples={tmp}/plain"], "{tmp}/plain: holds no TFRecords"),
        (
            ["--examples={shards}/Split-eval/*", "--label-map={tmp}/none"],
            "{tmp}/none/label_map.json: label map not found",
        ),
        (
            ["--examples={shards}/Split-eval/*", "--label-map={tmp}/a.pbtxt"],
            "{tmp}/a.pbtxt: the label map cannot be read",
        ),
        (["--examples={shards}/Split-eval/*", "--output={tmp}"], "{tmp}: is not an empty folder; name a new one"),
    ],
)
def test_mistakes_are_one_sentence(
    run: Callable[..., Result], digit_shards: Path, tmp_path: Path, words: list[str], says: str
):
    (tmp_path / "plain").write_bytes(b"plain text")
    places = {"shards": digit_shards, "tmp": tmp_path}
    answer = run(f"--output={tmp_path}/out", *(word.format(**places) for word in words))
    assert answer.exit_code == 1
    assert says.format(**places) in str(answer.exception)
    assert "\n" not in str(answer.exception)
    assert not (tmp_path / "out").exists()
