"""When the Trainer is a custom job of Vertex AI, and on which machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.trainer.custom_job import Machine, job_settings
from efficientdet.errors import ConfigError
from pipeline.cluster import ResourceConfig, TpuConfig
from pipeline.config import PipelineConfig
from pipeline.placement import secret_versions, vertex_gpu

NODE = "Trainer"
# Cores of Vertex AI's machines; those with an L4 come with a number of GPUs each.
N1_CORES = (4, 8, 16, 32, 64, 96)
L4_CORES: dict[int, tuple[int, ...]] = {1: (4, 8, 12, 16, 32), 2: (24,), 4: (48,), 8: (96,)}
N1_GPUS = ("nvidia-tesla-t4", "nvidia-tesla-v100", "nvidia-tesla-p100", "nvidia-tesla-p4")
TPU_MACHINES = {"v4": "ct4p-hightpu", "v5e": "ct5lp-hightpu", "v5p": "ct5p-hightpu", "v6e": "ct6e-standard"}


def custom_job(config: PipelineConfig) -> Mapping[str, Any] | None:
    """What makes the Trainer a custom job; None where it runs as any other node, without accelerators and workers.

    Raises ConfigError for machines that Vertex AI does not have.
    """
    asked = config.cluster.resources.get(NODE)
    if asked is None or not (asked.accelerated or asked.workers > 1 or asked.machine_type):
        return None
    cluster, project = config.cluster, config.cluster.project
    if project is None:
        raise ConfigError("cluster.project: the Trainer is a custom job of Vertex AI; name Google Cloud's project")
    if asked.node_selector:
        raise ConfigError(f"cluster.resources.{NODE}.node_selector: Vertex AI has no nodes to select; leave it out")
    return job_settings(
        machine(asked),
        asked.workers,
        image=cluster.image,
        project=project,
        region=cluster.region,
        service_account=cluster.service_account,
        name=f"{config.name}-training",
        secrets=secret_versions(cluster),
    )


def check_strategy(config: PipelineConfig) -> None:
    """Raises ConfigError for machines that the training would leave idle."""
    asked, strategy = config.cluster.resources.get(NODE, ResourceConfig()), config.detector.training.strategy
    wanted = "tpu" if asked.tpu else "workers" if asked.workers > 1 else "gpus" if asked.gpus > 1 else None
    if wanted and strategy != wanted:
        raise ConfigError(
            f"detector.training.strategy={strategy}: would not use what cluster.resources.{NODE} asks for; set it to"
            f" {wanted}"
        )


def machine(asked: ResourceConfig) -> Machine:
    """The machine of a Trainer's resources; ConfigError where none is known and none is named."""
    if asked.tpu:
        return Machine(asked.machine_type or _tpu_machine(asked.tpu), topology=asked.tpu.topology)
    if not asked.gpus:
        return Machine(asked.machine_type or _sized("n1-standard", N1_CORES, asked.cpu))
    return Machine(asked.machine_type or _gpu_machine(asked), vertex_gpu(asked.gpu_type), asked.gpus)


def _tpu_machine(tpu: TpuConfig) -> str:
    return f"{TPU_MACHINES[tpu.generation]}-{tpu.chips}t"


def _gpu_machine(asked: ResourceConfig) -> str:
    if asked.gpu_type in N1_GPUS:
        return _sized("n1-standard", N1_CORES, asked.cpu)
    if asked.gpu_type == "nvidia-l4" and asked.gpus in L4_CORES:
        return _sized("g2-standard", L4_CORES[asked.gpus], asked.cpu)
    raise ConfigError(
        f"cluster.resources.{NODE}: no machine with {asked.gpus} {asked.gpu_type} is known; name it in machine_type, as"
        " in a2-highgpu-1g"
    )


def _sized(series: str, cores: tuple[int, ...], cpu: float | None) -> str:
    for count in cores:
        if cpu is None or count >= cpu:
            return f"{series}-{count}"
    raise ConfigError(f"cluster.resources.{NODE}.cpu={cpu:g}: {series} has up to {cores[-1]}; name a machine_type")
