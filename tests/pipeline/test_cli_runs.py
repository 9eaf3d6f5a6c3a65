"""The command that tells what ran here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.cli import main
from pipeline.metadata import Metadata

NAME = "2027-01-01T00:00:00.000001"


@pytest.fixture
def invoke(config, tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config.to_dict()))
    return lambda *words: CliRunner().invoke(main, ["runs", "--config", str(path), *words])


@pytest.fixture
def ran(config):
    """A run that failed at its only node."""
    Path(config.root).mkdir()
    store = Metadata.of(config).open()
    kind = store.put_execution_type(mlmd.ExecutionType(name="any"))
    words = {"pipeline": config.name, "pipeline_run": NAME, "node": "any.Trainer"}
    types = {word: store.put_context_type(mlmd.ContextType(name=word)) for word in words}
    contexts = [mlmd.Context(type_id=types[word], name=name) for word, name in words.items()]
    failed = mlmd.Execution(type_id=kind, last_known_state=mlmd.Execution.FAILED)
    _, _, (pipeline, run, _) = store.put_execution(failed, [], contexts)
    store.put_parent_contexts([mlmd.ParentContext(parent_id=pipeline, child_id=run)])


def test_the_runs_are_listed(ran, invoke):
    shown = invoke().output
    assert NAME in shown, "a name is cut nowhere"
    assert "Trainer failed" in shown
    assert max(map(len, shown.splitlines())) <= 160
    assert [run["name"] for run in json.loads(invoke("--json").output)] == [NAME]


@pytest.mark.parametrize("name", [NAME, "last"])
def test_the_nodes_of_one_run(ran, invoke, name):
    assert "Trainer" in invoke(name).output
    assert json.loads(invoke(name, "--json").output)[0]["nodes"][0]["state"] == "FAILED"


def test_an_unknown_run_is_named(ran, invoke):
    done = invoke("run-7")
    assert done.exit_code == 2
    assert "run-7: there is no such run" in done.output


def test_before_the_first_run_the_list_is_empty(invoke):
    assert json.loads(invoke("--json").output) == []


def test_damaged_metadata_are_told_in_a_sentence(config, invoke):
    Path(config.root).mkdir()
    (Path(config.root) / "metadata.db").write_bytes(b"no database" * 1000)
    done = invoke()
    assert done.exit_code == 1
    assert "metadata.db: is damaged, or no database of ours (file is not a database); put a copy" in done.output
    assert "Traceback" not in done.output
