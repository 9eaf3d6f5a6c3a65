"""One run at a time, no traces of killed ones, and whom a candidate is compared with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from efficientdet.bundle import write_manifest
from efficientdet.errors import EfficientDetError
from efficientdet.label_map import LabelMap
from efficientdet.registry import open_registry
from pipeline import local_runner
from pipeline.config import PipelineConfig

HOLD = """
import sys
from pathlib import Path
from pipeline.local_runner import _only_run
with _only_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    return PipelineConfig.parse(
        {
            "name": "tiny",
            "root": str(tmp_path / "root"),
            "source": {"format": "voc", "path": str(tmp_path), "splits": {"train": "train", "eval": "val"}},
            "registry": {"name": "tiny", "uri": str(tmp_path / "registry")},
        }
    )


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


def register(config: PipelineConfig, folder: Path, **tags: str) -> str:
    folder.mkdir()
    (folder / "model_int8.tflite").write_bytes(folder.name.encode())
    (folder / "label_map.json").write_text(LabelMap.from_names(["a"]).to_json())
    write_manifest(folder)
    registry = open_registry(config.registry.uri)
    version = registry.register(folder, config.registry.name, tags=tags).version
    registry.set_alias(config.registry.name, "champion", version)
    return version


def test_a_model_is_never_its_own_baseline(config, tmp_path):
    assert local_runner.resolve_baseline(config, "inputs-1") == ""
    first = register(config, tmp_path / "one", inputs="inputs-1", baseline="")
    assert local_runner.resolve_baseline(config, "inputs-1") == ""
    assert local_runner.resolve_baseline(config, "inputs-2") == first
    second = register(config, tmp_path / "two", inputs="inputs-2", baseline=first)
    assert local_runner.resolve_baseline(config, "inputs-2") == first
    assert local_runner.resolve_baseline(config, "inputs-1") == second
