"""One run at a time, and no traces of killed ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from efficientdet.errors import EfficientDetError
from pipeline import local_runner

HOLD = """
import sys
from pathlib import Path
from pipeline.local_runner import _only_run
with _only_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_while_the_first_lives(config):
    Path(config.root).mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, config.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(EfficientDetError, match=f"process {holder.pid} is running this pipeline"):
        local_runner.run(config)
    holder.kill()
    holder.wait()
    with local_runner._only_run(Path(config.root)):
        pass


def test_what_a_killed_run_left_is_cleared(config):
    local_runner.sweep_stale(config)
    Path(config.root).mkdir()
    store = local_runner.metadata_store(config)
    kind = store.put_execution_type(metadata_store_pb2.ExecutionType(name="Trainer"))
    states = metadata_store_pb2.Execution
    wanted = (states.RUNNING, states.COMPLETE)
    ids = store.put_executions([states(type_id=kind, last_known_state=state) for state in wanted])
    folders = [Path(config.root) / "artifacts/Trainer/model" / str(i) for i in ids]
    for folder in folders:
        folder.mkdir(parents=True)
    local_runner.sweep_stale(config)
    assert [e.last_known_state for e in store.get_executions_by_id(ids)] == [states.FAILED, states.COMPLETE]
    assert [folder.exists() for folder in folders] == [False, True]
