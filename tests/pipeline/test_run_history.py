"""Runs and their nodes, read from a real metadata store."""

from __future__ import annotations

from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.metadata import Metadata
from pipeline.run_history import history, nodes_of, runs

STATES = ("CACHED", "COMPLETE", "FAILED")


@pytest.fixture
def store(config):
    """Two runs of three nodes: the first came to the second of them, the second failed at the last."""
    Path(config.root).mkdir()
    store = Metadata.of(config).open()
    kind = store.put_execution_type(mlmd.ExecutionType(name="any"))
    types = {name: store.put_context_type(mlmd.ContextType(name=name)) for name in ("pipeline", "pipeline_run", "node")}
    [pipeline] = store.put_contexts([mlmd.Context(type_id=types["pipeline"], name=config.name)])
    nodes = [mlmd.Context(type_id=types["node"], name=f"{config.name}.{name}") for name in ("Gen", "Trainer", "Pusher")]
    for number, count in ((1, 2), (2, 3)):
        run = mlmd.Context(type_id=types["pipeline_run"], name=f"run-{number}")
        for node, state in list(zip(nodes, STATES, strict=True))[:count]:
            execution = mlmd.Execution(type_id=kind, last_known_state=mlmd.Execution.State.Value(state))
            store.put_execution(execution, [], [run, node], reuse_context_if_already_exist=True)
        run.id = store.get_context_by_type_and_name("pipeline_run", run.name).id
        store.put_parent_contexts([mlmd.ParentContext(parent_id=pipeline, child_id=run.id)])
    return store


def test_the_newest_run_comes_first_with_its_nodes_in_order(config, store):
    second, first = history(config)
    assert [(run.name, len(run.nodes)) for run in (second, first)] == [("run-2", 3), ("run-1", 2)]
    assert list(second.nodes) == nodes_of(store, second.id)
    assert [(node.name, node.state) for node in second.nodes] == list(
        zip(("Gen", "Trainer", "Pusher"), STATES, strict=True)
    )
    assert (second.last.name, first.last.name) == ("Pusher", "Trainer")
    assert first.has_done({"Gen", "Trainer"})
    assert not second.has_done({"Pusher"})
    assert second.record()["nodes"][0] == {"name": "Gen", "state": "CACHED", "cached": True, "seconds": 0.0}


def test_before_the_first_run_there_is_none(config):
    assert list(history(config)) == []


def test_other_pipelines_runs_are_not_ours(store):
    assert list(runs(store, "other")) == []
