"""The Trainer as a custom job of Vertex AI: its machines, and the node that starts it and waits."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tfx.extensions.google_cloud_ai_platform.constants import ENABLE_VERTEX_KEY, VERTEX_REGION_KEY
from tfx.extensions.google_cloud_ai_platform.trainer import executor as stock

from components.secret_manager import read_secrets
from components.trainer.executor import Executor as TrainingExecutor

# The variable that tells a machine which secrets it needs: their names, not what they are.
SECRETS = "EFFICIENTDET_SECRETS"


class Executor(stock.GenericExecutor):
    """Starts the job, whose machines run our Trainer's own executor, and waits for its end."""

    def _GetExecutorClass(self) -> type[TrainingExecutor]:  # noqa: N802 TFX's own name
        return MachineExecutor


class MachineExecutor(TrainingExecutor):
    """The training on each of the job's machines, which fetches the secrets first: the node's own are not theirs."""

    def Do(self, *words: Any, **named: Any) -> None:  # noqa: N802 TFX's own name
        """As the Trainer's, with the secrets that the job names in the environment."""
        os.environ.update(read_secrets(json.loads(os.environ.get(SECRETS, "{}"))))
        super().Do(*words, **named)


class Machine(NamedTuple):
    """One machine of a job, in Vertex AI's words; `accelerator` is a GPU's name, `topology` a TPU's."""

    kind: str
    accelerator: str = ""
    accelerators: int = 0
    topology: str = ""

    @property
    def spec(self) -> dict[str, Any]:
        """Its MachineSpec."""
        spec: dict[str, Any] = {"machine_type": self.kind}
        if self.accelerator:
            spec |= {"accelerator_type": self.accelerator, "accelerator_count": self.accelerators}
        return spec | ({"tpu_topology": self.topology} if self.topology else {})


def job_settings(
    machine: Machine,
    workers: int,
    image: str,
    project: str,
    region: str,
    service_account: str | None,
    name: str,
    secrets: Mapping[str, str],
) -> dict[str, Any]:
    """What the node's `custom_config` holds besides the training's own, for TFX's client of Vertex AI.

    Args:
      machine: each of the machines.
      workers: how many; the first is the chief, in a pool of its own, as Vertex AI has it.
      image: container image of the product.
      project: Google Cloud's project.
      region: of the job.
      service_account: that runs the job; None: Vertex AI's own.
      name: the job's, for people.
      secrets: variable to the name of its secret's version in Secret Manager, for every machine.
    """
    job_spec: dict[str, Any] = {"worker_pool_specs": _pools(machine, workers, image, secrets)}
    if service_account:
        job_spec["service_account"] = service_account
    return {
        ENABLE_VERTEX_KEY: True,
        VERTEX_REGION_KEY: region,
        stock.TRAINING_ARGS_KEY: {"project": project, "display_name": name, "job_spec": job_spec},
    }


def _pools(machine: Machine, workers: int, image: str, secrets: Mapping[str, str]) -> Sequence[dict[str, Any]]:
    container: dict[str, Any] = {"image_uri": image}
    if secrets:
        container["env"] = [{"name": SECRETS, "value": json.dumps(secrets)}]
    # Their command is TFX's to fill in: one dict for each, lest they share it.
    counts = [1, workers - 1] if workers > 1 else [1]
    return [
        {"machine_spec": machine.spec, "replica_count": count, "container_spec": dict(container)} for count in counts
    ]
