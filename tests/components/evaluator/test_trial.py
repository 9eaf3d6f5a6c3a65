from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from components.evaluator.trial import size, try_out
from efficientdet.blessing import Bounds
from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE
from efficientdet.data.input_pipeline import read_records

from .conftest import write_crashing_bundle, write_records


def test_latency_is_measured_where_a_ceiling_asks(examples: Path, bundle: Callable[..., Path]) -> None:
    folder, pattern = bundle(1, 2), f"{examples}/Split-eval/*"
    plain = try_out(folder, Bounds(), pattern, 600).runtimes
    assert plain["int8"] == {"bytes": (folder / "model_int8.tflite").stat().st_size}
    timed = try_out(folder, Bounds.parse({"max_latency_ms": 50}, source="test"), pattern, 600).runtimes
    assert {name: found["bytes"] for name, found in timed.items()} == {name: plain[name]["bytes"] for name in timed}
    assert all(found["latency_ms"] > 0 for found in timed.values())


def test_a_file_that_does_not_run_is_named_and_its_neighbours_run(
    tmp_path: Path, examples: Path, bundle: Callable[..., Path]
) -> None:
    crashing = write_crashing_bundle(tmp_path / "crashing", bundle(1, 2))
    trial = try_out(crashing, Bounds(), f"{examples}/Split-eval/*", 600)
    assert trial.failures == {"int8": "int8: crashed with SIGSEGV (Segmentation fault)"}
    assert list(trial.runtimes) == ["float", "int8"]
    shutil.rmtree(crashing / SAVED_MODEL_FOLDER)
    (crashing / TFLITE_FILE).write_bytes(b"rubbish")
    trial = try_out(crashing, Bounds(), f"{examples}/Split-eval/*", 600)
    assert trial.failures["float"].startswith("float: cannot be run: ")
    assert [rule.rule for rule in trial.rules] == ["runs.float", "runs.int8"]


def test_pictures_that_cannot_be_decoded_say_nothing_of_the_files(
    tmp_path: Path, examples: Path, bundle: Callable[..., Path]
) -> None:
    records = [tf.train.Example.FromString(each.numpy()) for each in read_records(f"{examples}/Split-eval/*")]
    for record in records:
        record.features.feature["image/encoded"].bytes_list.value[0] = b"rubbish"
    write_records(tmp_path, [record.SerializeToString() for record in records])
    assert try_out(bundle(1, 2), Bounds(), f"{tmp_path}/Split-eval/*", 600).failures == {}


def test_a_folder_is_as_large_as_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a").write_bytes(b"123")
    (tmp_path / "b").write_bytes(b"45")
    assert (size(tmp_path), size(tmp_path / "b")) == (5, 2)
