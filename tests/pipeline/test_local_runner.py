"""No traces of killed runs, and early errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from efficientdet.errors import ConfigError, EfficientDetError, ModelError
from pipeline import local_runner
from pipeline.metadata import Metadata


def test_what_a_killed_run_left_is_cleared(config):
    Path(config.root).mkdir()
    store = Metadata.of(config).open()
    kind = store.put_execution_type(metadata_store_pb2.ExecutionType(name="Trainer"))
    states = metadata_store_pb2.Execution
    wanted = (states.RUNNING, states.COMPLETE)
    ids = store.put_executions([states(type_id=kind, last_known_state=state) for state in wanted])
    folders = [Path(config.root) / "artifacts/Trainer/model" / str(i) for i in ids]
    for folder in folders:
        folder.mkdir(parents=True)
    local_runner.sweep_stale(config, store)
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

    def begins(*_):
        raise EfficientDetError("it began")

    monkeypatch.setattr(local_runner, "sweep_stale", begins)
    with pytest.raises(EfficientDetError, match="it began"):
        local_runner.run(config.override("detector.model.name=efficientdet-d0,detector.model.weights=gs://bucket/d0"))


def test_what_only_keras_extras_use_is_not_loaded() -> None:
    code = (
        "import sys; from efficientdet.lean_imports import UNUSED, lean_imports\n"
        "with lean_imports():\n"
        "    from pipeline import local_runner, summary, run_history\n"
        "assert {name.partition('.')[0] for name in sys.modules}.isdisjoint(UNUSED), 'loaded'\n"
        "import matplotlib, sklearn; print('there again')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "there again\n"), done.stderr
    assert "Error" not in done.stderr
