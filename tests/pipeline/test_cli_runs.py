"""The command that tells what ran here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.cli import main
from pipeline.local_runner import metadata_store


@pytest.fixture
def invoke(config, tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config.to_dict()))
    return lambda *words: CliRunner().invoke(main, ["runs", "--config", str(path), *words])


@pytest.fixture
def ran(config):
    """A run that failed at its only node."""
    Path(config.root).mkdir()
    store = metadata_store(config)
    kind = store.put_execution_type(mlmd.ExecutionType(name="any"))
    run, node = (store.put_context_type(mlmd.ContextType(name=name)) for name in ("pipeline_run", "node"))
    contexts = [mlmd.Context(type_id=run, name="run-1"), mlmd.Context(type_id=node, name="any.Trainer")]
    store.put_execution(mlmd.Execution(type_id=kind, last_known_state=mlmd.Execution.FAILED), [], contexts)


def test_the_runs_are_listed(ran, invoke):
    shown = invoke().output
    assert "run-1" in shown
    assert "Trainer failed" in shown
    assert [run["name"] for run in json.loads(invoke("--json").output)] == ["run-1"]


@pytest.mark.parametrize("name", ["run-1", "last"])
def test_the_nodes_of_one_run(ran, invoke, name):
    assert "Trainer" in invoke(name).output
    assert json.loads(invoke(name, "--json").output)[0]["nodes"][0]["state"] == "FAILED"


def test_an_unknown_run_is_named(ran, invoke):
    done = invoke("run-7")
    assert done.exit_code == 2
    assert "run-7: there is no such run" in done.output


def test_before_the_first_run_the_list_is_empty(invoke):
    assert json.loads(invoke("--json").output) == []
