from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Channel, standard_artifacts

from components.evaluator import Evaluator
from efficientdet.blessing import Blessing, Bounds


def run(root: Path, examples: Path, bundle: Path, bounds: Bounds) -> MetadataStore:
    """Runs the node behind two importers on TFX's local runner; the metadata it left."""
    examples_node = Importer(
        source_uri=str(examples), artifact_type=standard_artifacts.Examples, properties={"split_names": '["eval"]'}
    ).with_id("examples")
    model_node = Importer(source_uri=str(bundle), artifact_type=standard_artifacts.Model).with_id("model")
    evaluator = Evaluator(
        examples=examples_node.outputs["result"], model=model_node.outputs["result"], bounds=bounds, fingerprint="abc"
    )
    connection = sqlite_metadata_connection_config(str(root / "metadata.db"))
    LocalDagRunner().run(
        Pipeline(
            pipeline_name="judge",
            pipeline_root=str(root),
            components=[examples_node, model_node, evaluator],
            metadata_connection_config=connection,
            enable_cache=True,
            beam_pipeline_args=["--runner=FnApiRunner"],
        )
    )
    return MetadataStore(connection)


def blessings(store: MetadataStore) -> list[Blessing]:
    """The records of every judgement, in order; each must agree with TFX's own property."""
    records = []
    for artifact in store.get_artifacts_by_type("ModelBlessing"):
        record = Blessing.load(artifact.uri)
        assert artifact.custom_properties["blessed"].int_value == record.blessed
        records.append(record)
    return records


def test_runs_in_tfx_and_a_new_bound_judges_again(tmp_path: Path, examples: Path, bundle: Callable[..., Path]) -> None:
    for floor in (0.1, 0.999):
        store = run(tmp_path, examples, bundle(1, 2), Bounds(min_float_ap=floor, max_champion_drop=0))
    assert [record.outcome for record in blessings(store)] == ["BLESSED", "NOT_BLESSED"]
    [first] = [rule for rule in blessings(store)[0].rules if rule.rule == "on_no_champion"]
    assert first.sentence == "there is no champion to compare with (blessing.on_no_champion=skip)"
    [evaluation, _] = store.get_artifacts_by_type("ModelEvaluation")
    assert json.loads((Path(evaluation.uri) / "blessing.json").read_text())["outcome"] == "BLESSED"


def test_bounds_may_be_given_as_values() -> None:
    examples, model = (Channel(type=t) for t in (standard_artifacts.Examples, standard_artifacts.Model))
    evaluator = Evaluator(examples, model, bounds={"max_int8_drop": 0.1}, baseline=None)
    assert Bounds.parse(json.loads(evaluator.exec_properties["bounds"])) == Bounds(max_tflite_drop={"int8": 0.1})
    assert evaluator.exec_properties["baseline"] == ""
