from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import tensorflow_model_analysis as tfma

from components.evaluator.results import read_metrics, read_slices


def write(folder: Path, slices: dict) -> str:
    """What TFMA writes of these numbers, `{slice: {key: number}}`."""
    writer = tfma.writers.MetricsPlotsAndValidationsWriter(
        output_paths={"metrics": str(folder / "metrics")}, eval_config=tfma.EvalConfig()
    )
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = {"metrics": pipeline | beam.Create(list(slices.items()))} | "Write" >> writer.ptransform
    return str(folder)


def test_numbers_by_slice_model_name_and_class(tmp_path: Path) -> None:
    key, red = tfma.metrics.MetricKey("int8/AP", "candidate"), tfma.metrics.SubKey(class_id=1)
    whole = {key: 0.5, key._replace(sub_key=red): 0.25, key._replace(name="int8/APl"): float("nan")}
    whole |= {key._replace(model_name="baseline"): 0.75, key.make_diff_key(): -0.25}
    dark, both = (("image/group", "dark"),), (("image/group", "dark"), ("image/height", 64))
    folder = write(tmp_path, {(): whole, dark: {key: 0.0}, both: {key: 1.0}, ((), dark): {key: 0.5}})
    found = read_metrics(folder)
    assert found["candidate"] == {"int8/AP": {None: 0.5, 1: 0.25}, "int8/APl": {None: None}}
    assert found["baseline"] == {"int8/AP": {None: 0.75}}
    slices = read_slices(folder)
    assert set(slices) == {(), dark, both}
    assert slices[dark]["candidate"]["int8/AP"][None] == 0.0


def test_what_was_not_measured_is_none(tmp_path: Path) -> None:
    folder = write(tmp_path, {})
    assert read_slices(folder) == {}
    assert read_metrics(folder)["candidate"]["int8/AP"][None] is None
