"""Bulk inference on Beam's own runners: whatever the number of shards and workers, the same records."""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from components.bulk_inferrer import bulk_infer, job, read_detections
from components.bulk_inferrer.detect_shard import DetectShard
from components.bulk_inferrer.work import Shard
from efficientdet.config import Config
from efficientdet.errors import ConfigError, DataError, ModelError
from efficientdet.label_map import LabelMap
from tests.efficientdet.square_model import CONFIG, LABELS, write_square_model


def engine(*args: str) -> Callable[[], beam.Pipeline]:
    return lambda: beam.Pipeline(argv=["--runner=FnApiRunner", "--sdk_container_image=none", *args])


HERE = engine()
# Beam's DirectRunner would download another engine, Prism; this is the one that it falls back on.
RUNNERS = {"FnApiRunner": HERE, "BundleBasedDirectRunner": lambda: beam.Pipeline("BundleBasedDirectRunner")}


def records(folder: Path) -> list[dict[str, Any]]:
    return sorted(read_detections(folder), key=lambda record: (record["file"], "reason" in record))


@pytest.mark.parametrize("runner", RUNNERS)
def test_images_become_shards_of_detections(runner: str, squares: Path, images: Path, tmp_path: Path):
    done = bulk_infer(squares, tmp_path / "out", RUNNERS[runner], images=str(images), shards=3)
    assert (done.images, done.detections, done.broken, done.shards) == (11, 11, 1, 3)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    shards = [f"detections-0000{number}-of-00003.jsonl.gz" for number in range(3)]
    assert names == ["config.yaml", *shards, "label_map.json", "summary.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert Config.load(tmp_path / "out/config.yaml") == CONFIG
    assert LabelMap.load(tmp_path / "out") == LABELS
    found = list(read_detections(tmp_path / "out"))
    assert [record["file"] for record in found] == [f"{n:03d}.png" for n in range(11)] + ["cut.png"]
    assert found[3]["height"] == 43
    assert found[3]["detections"][0]["score"] == round(130 / 255, 6)
    assert "not a readable image" in found[-1]["reason"]
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert [each["file"] for each in summary["unreadable"]] == ["cut.png"]
    assert summary["model"]["labels"] == LABELS.hash
    assert len(summary["model"]["sha256"]) == 64


@pytest.mark.parametrize("kind", ["images", "examples"])
def test_one_and_several_shards_hold_the_same(
    kind: str, squares: Path, images: Path, examples: str, tmp_path: Path
) -> None:
    work = {"images": str(images)} if kind == "images" else {"examples": examples}
    found = {}
    for shards in (1, 5):
        bulk_infer(squares, tmp_path / str(shards), HERE, **work, shards=shards)
        found[shards] = records(tmp_path / str(shards))
    assert found[1] == found[5]
    assert len(found[1]) == (12 if kind == "images" else 13)


def test_examples_keep_their_names_and_ids(squares: Path, examples: str, tmp_path: Path):
    done = bulk_infer(squares, tmp_path / "out", HERE, examples=examples)
    assert (done.images, done.broken, done.shards) == (11, 2, 2)
    found = records(tmp_path / "out")
    assert [record["image_id"] for record in found if "detections" in record] == [f"1{n:03d}" for n in range(11)]
    reasons = [record["reason"] for record in found if "reason" in record]
    assert "not a readable image" in reasons[0]
    assert "is no tf.train.Example" in reasons[1]


@pytest.mark.slow
def test_processes_share_the_work(squares: Path, images: Path, tmp_path: Path):
    bulk_infer(squares, tmp_path / "alone", HERE, images=str(images), shards=4)
    several = engine("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    bulk_infer(squares, tmp_path / "several", several, images=str(images), shards=4)
    for path in (tmp_path / "alone").glob("*.gz"):
        assert path.read_bytes() == (tmp_path / "several" / path.name).read_bytes()


class BreaksOnce(DetectShard):
    """Fails at the second shard of the first job."""

    def process(self, shard: Shard) -> Iterable[str]:
        if shard.number == 1 and not (broke := Path(self.uri, "aside", "broke")).exists():
            broke.touch()
            raise RuntimeError("the disk went away")
        return super().process(shard)


def test_a_failed_job_is_run_again(squares: Path, images: Path, tmp_path: Path, monkeypatch, caplog):
    monkeypatch.setattr(job, "DetectShard", BreaksOnce)
    with caplog.at_level(logging.WARNING):
        done = bulk_infer(squares, tmp_path / "out", HERE, images=str(images), shards=3)
    assert done.images == 11
    assert "the disk went away" in caplog.text


def test_a_killed_job_goes_on(squares: Path, images: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(job, "DetectShard", BreaksOnce)
    with pytest.raises(Exception, match="the disk went away"):
        bulk_infer(squares, tmp_path / "out", engine("--shard_retries=0"), images=str(images), shards=3)
    assert not (tmp_path / "out").exists()
    [first, *_] = (tmp_path / ".out.partial/whole").glob("*.gz")
    written = first.stat().st_mtime_ns
    with pytest.raises(ConfigError, match="another job began there"):
        bulk_infer(squares, tmp_path / "out", HERE, images=str(images), shards=2)
    bulk_infer(squares, tmp_path / "out", HERE, images=str(images), shards=3)
    assert (tmp_path / "out" / first.name).stat().st_mtime_ns == written
    assert len(records(tmp_path / "out")) == 12


class FillsTheOutput(DetectShard):
    """Somebody else puts a file into the place of the result meanwhile."""

    def process(self, shard: Shard) -> Iterable[str]:
        notes = Path(self.uri).parent / "out/notes.txt"
        notes.parent.mkdir(exist_ok=True)
        notes.write_text("mine")
        return super().process(shard)


def test_a_place_that_is_taken_on_the_way_loses_nothing(squares: Path, images: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(job, "DetectShard", FillsTheOutput)
    with pytest.raises(ConfigError, match=r"cannot be put there \(Directory not empty\); it waits in .*whole: clear"):
        bulk_infer(squares, tmp_path / "out", HERE, images=str(images), shards=3)
    assert (tmp_path / "out/notes.txt").read_text() == "mine"
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / ".out.partial/whole").glob("*.gz")}
    assert len(times) == 3
    with pytest.raises(ConfigError, match="out: is there already"):
        bulk_infer(squares, tmp_path / "out", HERE, images=str(images), shards=3)
    (tmp_path / "out/notes.txt").unlink()
    monkeypatch.undo()
    done = bulk_infer(squares, tmp_path / "out", HERE, images=str(images), shards=3)
    assert done.images == 11
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.gz")} == times
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_mount_point_is_refused_before_the_work(squares: Path, images: Path, monkeypatch):
    mounted = next(path for path in map(Path, ("/dev/shm", "/proc", "/")) if path.is_mount())
    with pytest.raises(ConfigError, match=f"{mounted}: is a mount point, which nothing can take the place of"):
        bulk_infer(squares, mounted, HERE, images=str(images))


def test_an_empty_folder_behind_a_link_is_filled(squares: Path, images: Path, tmp_path: Path):
    (tmp_path / "disk/empty").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk/empty")
    bulk_infer(squares, tmp_path / "out", HERE, images=str(images))
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk/empty/summary.json").is_file()


@pytest.mark.parametrize("kind", ["images", "examples"])
def test_the_content_of_images_decides_what_is_done_again(
    kind: str, squares: Path, images: Path, examples: str, tmp_path: Path, monkeypatch
) -> None:
    source = shutil.copytree(images if kind == "images" else Path(examples).parent, tmp_path / "source")
    work: dict[str, Any] = {kind: str(source) if kind == "images" else f"{source}/*", "shards": 2}
    monkeypatch.setattr(job, "DetectShard", FillsTheOutput)
    with pytest.raises(ConfigError, match="cannot be put there"):
        bulk_infer(squares, tmp_path / "out", HERE, **work)
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "out")
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / ".out.partial/whole").glob("*.gz")}
    for path in source.iterdir():
        os.utime(path, (1, 1))
    changed = sorted(source.iterdir())[0 if kind == "images" else 1]
    new = sorted(source.iterdir())[2 if kind == "images" else 0].read_bytes()
    changed.write_bytes(new)
    bulk_infer(squares, tmp_path / "out", HERE, **work)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.gz")}
    assert [after[name] == times[name] for name in sorted(times)] == (
        [False, True] if kind == "images" else [True, False]
    )
    found = list(read_detections(tmp_path / "out"))
    if kind == "images":
        assert found[0]["detections"] == found[2]["detections"]
    else:
        assert found[:6] == found[7:13]


def test_a_model_that_changes_on_the_way_is_noticed(images: Path, tmp_path: Path, monkeypatch):
    model = write_square_model(tmp_path / "squares.tflite")
    sha256 = job.content_sha256(model)
    worker = DetectShard(str(tmp_path), str(model), sha256, 0.3)
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="has changed since the job began"):
        worker.setup()


def test_what_cannot_be_done_is_a_sentence(squares: Path, images: Path, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    with pytest.raises(ConfigError, match="full: is there already; name a new folder"):
        bulk_infer(squares, tmp_path / "full", HERE, images=str(images))
    with pytest.raises(DataError, match=r"cut\.png: not one of its 1 images can be read"):
        bulk_infer(squares, tmp_path / "out", HERE, images=str(images / "cut.png"))
    with pytest.raises(DataError, match="no file matches"):
        bulk_infer(squares, tmp_path / "none", HERE, examples=f"{tmp_path}/*.gz")


def test_shards_are_gzip_lines(squares: Path, images: Path, tmp_path: Path):
    bulk_infer(squares, tmp_path / "out", HERE, images=str(images / "00*.png"))
    [shard] = (tmp_path / "out").glob("*.gz")
    assert len(gzip.decompress(shard.read_bytes()).splitlines()) == 10
