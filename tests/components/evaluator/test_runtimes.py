from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from components.evaluator.runtimes import measure_runtimes, size
from efficientdet.bundle import TFLITE_FILE
from efficientdet.data.input_pipeline import read_records

from .conftest import write_records


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"1234")
    (tmp_path / "a" / "b" / "two").write_bytes(b"56")
    assert [size(tmp_path / "a"), size(tmp_path / "a" / "one")] == [6, 4]


def test_without_a_ceiling_nothing_is_run(tmp_path: Path, bundle: Callable[..., Path]) -> None:
    runtimes = measure_runtimes(bundle(1, 2), str(tmp_path / "no images"), timed=False)
    assert runtimes["int8"] == {"bytes": (bundle(1, 2) / TFLITE_FILE).stat().st_size}
    assert runtimes["float"].keys() == {"bytes"}


def test_what_cannot_be_read_is_not_timed(tmp_path: Path, examples: Path, bundle: Callable[..., Path]) -> None:
    [good, spoilt, *_] = [record.numpy() for record in read_records(f"{examples}/Split-eval/*")]
    record = tf.train.Example.FromString(spoilt)
    record.features.feature["image/encoded"].bytes_list.value[0] = b"rubbish"
    write_records(tmp_path, [b"rubbish", record.SerializeToString(), good])
    runtimes = measure_runtimes(bundle(1, 2), str(tmp_path / "Split-eval"), timed=True)
    assert all(runtime["latency_ms"] > 0 for runtime in runtimes.values())


def test_a_file_that_does_not_run_has_no_latency(tmp_path: Path, examples: Path, bundle: Callable[..., Path]) -> None:
    broken = shutil.copytree(bundle(1, 2), tmp_path / "broken")
    (broken / TFLITE_FILE).write_bytes(b"TFL3" + bytes(64))
    runtimes = measure_runtimes(broken, str(examples / "Split-eval"), timed=True)
    assert ["latency_ms" in runtimes[variant] for variant in ("float", "int8")] == [True, False]
