"""One run at a time, and no traces of killed ones."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from efficientdet.errors import ConfigError, EfficientDetError, ModelError
from pipeline import local_runner

HOLD = """
import sys
from pathlib import Path
from pipeline.local_runner import only_run
with only_run(Path(sys.argv[1])):
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
    with local_runner.only_run(Path(config.root)):
        pass


def test_a_second_run_may_wait_for_the_first(tmp_path, caplog):
    held = threading.Event()
    ended: list[float] = []

    def first() -> None:
        with local_runner.only_run(tmp_path):
            held.set()
            deadline = time.monotonic() + 60
            while "waiting for its end" not in caplog.text and time.monotonic() < deadline:
                time.sleep(0.01)
            ended.append(time.monotonic())

    holder = threading.Thread(target=first, daemon=True)
    holder.start()
    held.wait()
    with local_runner.only_run(tmp_path, wait=True):
        assert ended[0] <= time.monotonic()
    holder.join()
    assert f"process {os.getpid()} is running this pipeline" in caplog.text


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


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        ({"weights": "none/ckpt"}, ModelError, "none/ckpt: there is no checkpoint, which model.weights names"),
        ({"backbone_weights": "none"}, ModelError, "none: there is no checkpoint, which model.backbone_weights names"),
        ({"name": "efficientdet-d0"}, ModelError, "ImageNet weights are packaged for"),
        ({"weights": "gs://b/c", "weights_classes": "none.yaml"}, ConfigError, "none.yaml: neither a label map file"),
    ],
)
def test_missing_weights_are_told_before_any_work(config, model, error, says):
    with pytest.raises(error, match=says):
        local_runner.run(config.override({"detector": {"model": model}}))
    assert not Path(config.root).exists()


def test_weights_make_imagenet_unnecessary(config, monkeypatch):
    """An architecture that ImageNet weights are not packaged for, with a checkpoint far away: the run begins."""

    def begins(_):
        raise EfficientDetError("it began")

    monkeypatch.setattr(local_runner, "sweep_stale", begins)
    with pytest.raises(EfficientDetError, match="it began"):
        local_runner.run(config.override("detector.model.name=efficientdet-d0,detector.model.weights=gs://bucket/d0"))
