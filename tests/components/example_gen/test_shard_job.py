"""The job of example generation: portable, the same on every engine, and finished whatever its workers go through."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PortableOptions
from apache_beam.transforms.environments import Environment
from PIL import Image

from components.example_gen import CocoExampleGen
from components.example_gen.entry_file import write_entries, write_index
from components.example_gen.write_shard import Shard, SplitWork, WriteShard
from components.shard_job import LostJobError, shard_job, write_shards
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.demo import write_demo_data
from efficientdet.errors import EfficientDetError
from tests.free_port import free_port

TRAIN = "annotations/instances_train.json"
PORTABLE = {
    "beam:transform:impulse:v1",
    "beam:transform:pardo:v1",
    "beam:transform:group_by_key:v1",
    "beam:transform:flatten:v1",
}
WORKERS = 3
Work = tuple[WriteShard, list[Shard]]


class BreaksOnce(WriteShard):
    """Fails at the second shard of the first job."""

    def process(self, shard: Shard) -> Iterable[str]:
        if shard.number == 1 and not (broke := Path(self.uri, "broke")).exists():
            broke.touch()
            raise RuntimeError("the disk went away")
        return super().process(shard)


class HangsOnce(WriteShard):
    """As where a worker was killed, and its engine waits for it."""

    def process(self, shard: Shard) -> Iterable[str]:
        if shard.number == 1 and not (hung := Path(self.uri, "hung")).exists():
            hung.touch()
            time.sleep(3)
        return super().process(shard)


class Breaks(WriteShard):
    """Notes each try, and fails."""

    def process(self, shard: Shard) -> Iterable[str]:
        with Path(self.uri, "tries").open("a") as file:
            file.write("x")
        raise RuntimeError("the disk went away")


class WritesElsewhere(WriteShard):
    """As a worker that has a folder of its own under this path."""

    def process(self, shard: Shard) -> Iterable[str]:
        return [shard.name]


@pytest.fixture
def work(demo: Path, tmp_path: Path) -> Iterator[Callable[..., Work]]:
    """Makes a writer below a new folder, and three shards of two images for it."""
    labels = coco_label_map([demo / TRAIN])
    classes = {label.category_id: label.id for label in labels}
    entries = str(tmp_path / "entries")
    offsets, _ = write_entries(read_coco([demo / TRAIN]), entries, io.StringIO())
    places = write_index(entries, offsets, 3)

    def make(name: str, kind: type[WriteShard] = WriteShard) -> Work:
        (tmp_path / name / "aside").mkdir(parents=True)
        splits = {"train": SplitWork(entries, str(demo), "train", classes, False, None)}
        return kind(str(tmp_path / name), splits, labels), [Shard("train", n, 3, p) for n, p in enumerate(places)]

    yield make
    for thread in threading.enumerate():
        if thread.name == "beam-job":
            thread.join()  # one that was given up on


def pipeline(*args: str) -> beam.Pipeline:
    return beam.Pipeline(argv=[*(args or ["--runner=FnApiRunner"])])


def content(writer: WriteShard) -> dict[str, bytes]:
    """The files that a job left, by name."""
    return files(Path(writer.uri))


def files(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if name not in ("broke", "hung")}


@pytest.mark.parametrize(
    ("args", "environment"),
    [
        (["--runner=FlinkRunner", "--flink_master=flink:8081", "--environment_config=registry/image"], "docker"),
        (["--runner=SparkRunner", "--spark_master_url=spark://spark:7077"], "docker"),
        (["--runner=PortableRunner", "--environment_type=EXTERNAL", "--environment_config=pool:50000"], "external"),
    ],
)
def test_the_same_portable_transforms_for_every_engine(work, args: list[str], environment: str) -> None:
    writer, shards = work("out")
    whole = pipeline(*args)
    shard_job(whole, shards, writer)
    chosen = Environment.from_options(whole.options.view_as(PortableOptions))
    proto = whole.to_runner_api(default_environment=chosen)
    assert not proto.requirements, "no engine has to know anything special"
    leaves = [transform for transform in proto.components.transforms.values() if not transform.subtransforms]
    assert {transform.spec.urn for transform in leaves} <= PORTABLE
    assert [e.urn for e in proto.components.environments.values()] == [f"beam:env:{environment}:v1"]

    again = beam.Pipeline.from_runner_api(type(proto).FromString(proto.SerializeToString()), *_here())
    again.run().wait_until_finish()
    plain, _ = work("plain")
    write_shards(pipeline, shards, plain)
    assert len(content(writer)) == 6
    assert content(writer) == content(plain)


def _here() -> tuple[beam.runners.PipelineRunner, beam.options.pipeline_options.PipelineOptions]:
    local = pipeline()
    return local.runner, local.options


def test_what_is_submitted_does_not_grow_with_the_data(work) -> None:
    writer, _ = work("out")

    def size(images: int) -> int:
        whole = pipeline()
        shard_job(whole, [Shard("train", n, 8, range(n * images, (n + 1) * images)) for n in range(8)], writer)
        return whole.to_runner_api().ByteSize()

    assert size(1_000_000) < size(1) + 500


@pytest.mark.parametrize(("kind", "says"), [(BreaksOnce, "the disk went away"), (HangsOnce, "no new shard for 1 sec")])
def test_a_job_that_fails_or_hangs_is_run_again(work, kind: type[WriteShard], says: str, caplog) -> None:
    writer, shards = work("out", kind)
    plain, _ = work("plain")
    write_shards(pipeline, shards, plain)
    with caplog.at_level(logging.WARNING):
        write_shards(lambda: pipeline("--runner=FnApiRunner", "--shard_patience=1"), shards, writer)
    assert content(writer) == content(plain)
    [said] = [r.getMessage() for r in caplog.records if r.name == "components.shard_job"]
    assert said.startswith("job 1 ended with")
    assert says in said


def test_what_is_written_is_not_written_again(work) -> None:
    writer, shards = work("out")
    write_shards(pipeline, shards[:2], writer)
    before = {path: path.stat().st_mtime_ns for path in Path(writer.uri).rglob("*-of-*")}
    write_shards(pipeline, shards, writer)
    after = {path: path.stat().st_mtime_ns for path in Path(writer.uri).rglob("*-of-*")}
    assert len(after) == 6
    assert before.items() <= after.items()


def test_the_last_failure_is_told(work) -> None:
    writer, shards = work("out", Breaks)
    with pytest.raises(Exception, match="the disk went away"):
        write_shards(lambda: pipeline("--runner=FnApiRunner", "--shard_retries=1"), shards[:1], writer)
    assert Path(writer.uri, "tries").read_text() == "xx"
    hanging, shards = work("hanging", HangsOnce)
    with pytest.raises(LostJobError, match="look at its engine, or give it longer"):
        write_shards(
            lambda: pipeline("--runner=FnApiRunner", "--shard_retries=0", "--shard_patience=0.5"), shards, hanging
        )


def test_workers_without_the_folder_are_noticed(work) -> None:
    writer, shards = work("out", WritesElsewhere)
    with pytest.raises(EfficientDetError, match=r"is done, but 3 of 3 shards are not there, .* every worker has"):
        write_shards(pipeline, shards, writer)


@pytest.mark.slow
def test_a_killed_worker_of_a_pool_changes_no_record(run, tmp_path: Path, caplog) -> None:
    """Beam's job server and worker pool over gRPC; one of the workers is killed in the middle of a shard."""
    data = tmp_path / "data"
    write_demo_data(data, images={"train": 32, "eval": 4}, size=(768, 768))
    for split in ("train", "eval"):
        _as_bitmaps(data, split)

    def node(name: str) -> CocoExampleGen:
        splits = {split: f"annotations/instances_{split}.json" for split in ("train", "eval")}
        return CocoExampleGen(str(data), splits, {s: s for s in splits}, 0.0, name, shard_images=2)

    with portable_stack(tmp_path) as (args, pool):
        expected = files(run(node("one process")))
        killed: list[int] = []
        examples = tmp_path / "root/CocoExampleGen/examples"
        threading.Thread(target=_kill_one, args=(examples, pool, killed), daemon=True).start()
        with caplog.at_level(logging.WARNING):
            found = files(run(node("a pool"), args))
    assert killed, "one was in the middle of a shard"
    assert found == expected
    assert len([name for name in found if name.startswith("Split-train/")]) == 16
    lost = [re.match(r"job \d+ ended with (\d+) of 18 shards missing", r.getMessage()) for r in caplog.records]
    assert any(int(match[1]) for match in lost if match), "another job wrote what was left"


def _as_bitmaps(data: Path, split: str) -> None:
    """Images whose conversion keeps a worker busy for a while."""
    path = data / f"annotations/instances_{split}.json"
    annotations = json.loads(path.read_text())
    for entry in annotations["images"]:
        image = data / split / entry["file_name"]
        Image.open(image).save(image.with_suffix(".bmp"))
        entry["file_name"] = image.with_suffix(".bmp").name
    path.write_text(json.dumps(annotations))


def _kill_one(examples: Path, pool: int, killed: list[int]) -> None:
    """SIGKILL for a worker of the pool that is writing a shard, once the second run has written one."""
    while not [path for path in examples.glob("*/aside/*.json") if path.parts[-3] != "1"]:
        time.sleep(0.02)
    while not killed:
        listed = subprocess.run(["pgrep", "-P", str(pool)], capture_output=True, text=True, check=False)
        for worker in map(int, listed.stdout.split()):
            if any("/aside/" in name for name in _open_files(worker)):
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)
                return


def _open_files(process: int) -> list[str]:
    try:
        return [str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:  # It or the file is gone by now.
        return []


@contextmanager
def portable_stack(folder: Path) -> Iterator[tuple[list[str], int]]:
    """A job server and a pool of workers, each a process: the arguments to use them, and the pool's process id."""
    job_port, pool_port = free_port(), free_port()
    server = [str(Path(__file__).with_name("job_server.py")), str(job_port)]
    pool = ["-m", "apache_beam.runners.worker.worker_pool_main", "--service_port", str(pool_port)]
    # The pool starts its workers as `python`.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = []
    try:
        for name, words in (("server", server), ("pool", pool)):
            log = (folder / f"{name}.log").open("wb")
            start = subprocess.Popen([sys.executable, *words], stdout=log, stderr=log, env=environment)
            processes.append(start)
        yield (
            [
                "--runner=PortableRunner",
                f"--job_endpoint=localhost:{job_port}",
                "--environment_type=EXTERNAL",
                f"--environment_config=localhost:{pool_port}",
                f"--direct_num_workers={WORKERS}",
                "--sdk_container_image=none",
                # Workers of a busy machine take their time to start; a job given up too early goes on beside the next.
                "--shard_patience=60",
                "--shard_retries=3",
            ],
            processes[1].pid,
        )
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=60)
