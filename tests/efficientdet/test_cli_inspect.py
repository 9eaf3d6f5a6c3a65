"""`efficientdet inspect`, on real shards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from efficientdet.cli import cli


@pytest.fixture
def run() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(cli, ["inspect", *(str(word) for word in words)])


@pytest.mark.parametrize("side", [[], ["--augment", "--seed=5"]])
def test_pictures_and_their_list(run: Callable[..., Result], digit_shards: Path, tmp_path: Path, side: list[str]):
    words = [f"--examples={digit_shards}/Split-train/*", "--hparams=image_size=96x64", "--samples=3", *side]
    answer = run(*words, f"--output={tmp_path}/out")
    assert answer.exit_code == 0, answer.exception
    assert answer.stdout == f"{tmp_path}/out: 3 pictures, their boxes in samples.json\n"
    entries = json.loads((tmp_path / "out" / "samples.json").read_text())
    files = [entry["file"] for entry in entries]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*files, "samples.json"]
    for file in files:
        assert Image.open(tmp_path / "out" / file).size == (96, 64)
    assert all(("anchors" in entry) == bool(side) for entry in entries)
    again = run(*words, f"--output={tmp_path}/again")
    assert again.exit_code == 0
    for name in (*files, "samples.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_their_command(run: Callable[..., Result], digit_shards: Path, tmp_path: Path):
    words = [f"--file_pattern={digit_shards}/Split-eval/*", "--model_name=efficientdet-lite0", "--samples=10"]
    answer = run(*words, f"--save_samples_dir={tmp_path}/out", f"--label_map={digit_shards}")
    assert answer.exit_code == 0, answer.exception
    assert len(json.loads((tmp_path / "out" / "samples.json").read_text())) == 4
    assert Image.open(tmp_path / "out" / "0000.png").size == (320, 320)


SHARDS = "--examples={shards}/Split-train/*"


@pytest.mark.parametrize("side", [[], ["--augment"]])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--examples={tmp}/none/*"], "{tmp}/none/*: no file matches; give the shards as in"),
        (["--examples={tmp}/*.tfrecord"], "{tmp}/plain.tfrecord: holds no TFRecords, neither plain nor gzip"),
        (["--examples={tmp}/cut.gz", "--label-map={shards}"], "{tmp}/cut.gz: a record cannot be read ("),
        (["--examples={tmp}/empty.gz", "--label-map={shards}"], "empty.gz"),
        ([SHARDS, "--label-map={tmp}/none"], "{tmp}/none: holds no label_map.json"),
        ([SHARDS, "--label-map={tmp}"], "label map: not a list of"),
        ([SHARDS, "--hparams=num_clases=3"], "num_clases: there is no such setting; did you mean"),
        ([SHARDS, "--model-name=efficientdet-d9"], "no such architecture"),
        ([SHARDS, "--seed=-1"], "training.seed"),
    ],
)
def test_mistakes_are_one_sentence(
    run: Callable[..., Result], digit_shards: Path, tmp_path: Path, side: list[str], words: list[str], says: str
):
    import tensorflow as tf

    (tmp_path / "plain.tfrecord").write_bytes(b"plain")
    (tmp_path / "label_map.json").write_text("[1, 2]")
    (tmp_path / "cut.gz").write_bytes((digit_shards / "Split-train/data-0-of-2.gz").read_bytes()[:3000])
    with tf.io.TFRecordWriter(str(tmp_path / "empty.gz"), "GZIP"):
        pass
    places = {"shards": digit_shards, "tmp": tmp_path}
    answer = run(*(word.format(**places) for word in words), f"--output={tmp_path}/out", *side)
    assert answer.exit_code == 1
    assert says.format(**places) in str(answer.exception)
    assert "\n" not in str(answer.exception)
    assert not list((tmp_path / "out").glob("*"))
