"""The Trainer of a compiled pipeline trains as its run says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import aiplatform_v1
from tfx.extensions.google_cloud_ai_platform.training_clients import VertexJobClient
from tfx.types import Channel, standard_artifacts
from tfx.utils import name_utils

from components.trainer import detector_trainer
from components.trainer.custom_job import SECRETS, Machine, MachineExecutor, job_settings
from components.trainer.custom_job import Executor as Starter
from components.trainer.executor import Executor, as_run
from efficientdet.config import Config
from efficientdet.errors import ConfigError

CONFIG = Config().override({"training": {"epochs": 16}})
COMPILED = json.dumps({"data_path": "/data/a", "epochs": 16.0, "data": "d00"})
EXAMPLES = "/examples"  # of which only runs of other data read anything


def properties(**given: Any) -> dict[str, Any]:
    """Of a compiled Trainer, with what a run gives."""
    settings = {"config": CONFIG.to_dict(), "checkpoints": "/root/checkpoints/f00", "fingerprint": "f00"}
    compiled = {"data_path": "/data/a", "epochs": 16.0, "compiled": COMPILED}
    return {"custom_config": json.dumps(settings), "run_fn": "a.b", **compiled, **given}


def test_a_run_as_compiled_shares_the_checkpoints_of_the_local_one():
    assert as_run(properties(), EXAMPLES) == properties()
    local = {"custom_config": properties()["custom_config"]}
    assert as_run(local, EXAMPLES) == local


def test_other_epochs_are_trained_and_have_checkpoints_of_their_own():
    settings = json.loads(as_run(properties(epochs=3.0), EXAMPLES)["custom_config"])
    assert Config.parse(settings["config"]) == CONFIG.override({"training": {"epochs": 3}})
    assert settings["checkpoints"] == f"/root/checkpoints/f00/{settings['fingerprint']}"
    assert settings["fingerprint"] != "f00"


def test_other_data_have_checkpoints_of_their_own():
    places = {
        json.loads(as_run(properties(**given), EXAMPLES)["custom_config"])["checkpoints"]
        for given in ({}, {"data_path": "/data/b"}, {"data_path": "/data/c"}, {"data_path": "/data/b", "epochs": 3.0})
    }
    assert len(places) == 4


def test_other_data_of_the_same_path_have_checkpoints_of_their_own(tmp_path: Path):
    """A bucket is not read when the pipeline is compiled; what it held then trains nothing else later."""
    unread = properties(compiled=json.dumps({"data_path": "/data/a", "epochs": 16.0, "data": ""}))
    places = []
    for content in (b"one", b"two", b"one"):
        shard = tmp_path / "Split-train/data-0-of-1.gz"
        shard.parent.mkdir(exist_ok=True)
        shard.write_bytes(content)
        places.append(json.loads(as_run(unread, str(tmp_path))["custom_config"])["checkpoints"])
    assert places[0] == places[2]
    assert len(set(places)) == 2


def test_epochs_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"training\.epochs=-1"):
        as_run(properties(epochs=-1.0), EXAMPLES)


class Client(VertexJobClient):
    """TFX's client, which speaks to nobody."""

    def create_client(self) -> None:
        """Needs no credentials."""


def test_the_job_is_one_that_vertex_knows():
    machine = Machine("n1-standard-8", "NVIDIA_TESLA_T4", 2)
    secrets = {"MLFLOW_TRACKING_PASSWORD": "projects/team/secrets/password/versions/latest"}
    settings = job_settings(machine, 3, "team/image:1", "team", "europe-west4", "runner@team", "demo-training", secrets)
    args = settings["ai_platform_training_args"]
    path = name_utils.get_full_name(Starter()._GetExecutorClass())
    job = Client("europe-west4").create_training_job({}, {}, properties(), path, args, None, {})
    parsed = aiplatform_v1.CustomJob(job)
    chief, workers = parsed.job_spec.worker_pool_specs
    assert (chief.replica_count, workers.replica_count) == (1, 2)
    assert parsed.job_spec.service_account == "runner@team"
    for pool in (chief, workers):
        assert pool.machine_spec.machine_type == "n1-standard-8"
        assert pool.machine_spec.accelerator_type == aiplatform_v1.AcceleratorType.NVIDIA_TESLA_T4
        assert pool.machine_spec.accelerator_count == 2
        command = list(pool.container_spec.command)
        assert pool.container_spec.image_uri == "team/image:1"
        assert command[command.index("--executor_class_path") + 1] == name_utils.get_full_name(MachineExecutor)
        [variable] = pool.container_spec.env
        assert (variable.name, json.loads(variable.value)) == (SECRETS, secrets)


def test_a_machine_of_the_job_fetches_the_secrets_before_it_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Where nobody is logged in, Google's client says so; without secrets nobody is asked."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    monkeypatch.setenv(SECRETS, json.dumps({"PASSWORD": "projects/team/secrets/password/versions/latest"}))
    with pytest.raises(DefaultCredentialsError, match=r"none\.json"):
        MachineExecutor().Do({}, {}, properties())
    monkeypatch.delenv(SECRETS)
    with pytest.raises(KeyError, match="examples"):
        MachineExecutor().Do({}, {}, properties())


def test_a_job_makes_the_node_start_it():
    examples, schema = Channel(type=standard_artifacts.Examples), Channel(type=standard_artifacts.Schema)
    settings = job_settings(Machine("n1-standard-4"), 1, "image", "team", "region", None, "name", {})
    node = detector_trainer(examples, schema, CONFIG, "/c", "f00", job=settings)
    assert node.id == "Trainer"
    assert node.executor_spec.executor_class is Starter
    assert detector_trainer(examples, schema, CONFIG, "/c", "f00").executor_spec.executor_class is Executor
