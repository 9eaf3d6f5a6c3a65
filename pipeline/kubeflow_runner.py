"""Writes the pipeline as a specification for Kubeflow Pipelines v2 or Vertex AI."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig

from efficientdet.errors import ConfigError
from pipeline.beam import check_arguments
from pipeline.config import PipelineConfig, ResourceConfig
from pipeline.fingerprint import data_fingerprint
from pipeline.pipeline import create_pipeline

Engine = Literal["kubeflow", "vertex"]
Resources = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec
# Kubeflow's client takes YAML alone, Vertex the JSON of a whole pipeline job.
SUFFIXES: dict[str, tuple[str, ...]] = {"kubeflow": (".yaml", ".yml"), "vertex": (".json",)}


def compile_pipeline(config: PipelineConfig, engine: Engine, output: str | Path) -> None:
    """Writes the specification of `create_pipeline(config)`; the champion is looked up when the run scores."""
    output = Path(output)
    if output.suffix not in SUFFIXES[engine]:
        raise ConfigError(f"{output}: {engine} reads {' or '.join(SUFFIXES[engine])} files; name the output so")
    check_arguments(config.beam)
    baseline = f"@{config.registry.alias}"
    pipeline = create_pipeline(config, config.cluster.root, data_fingerprint(config.source), baseline)
    _declare_resources(pipeline.components, config.cluster.resources)
    output.parent.mkdir(parents=True, exist_ok=True)
    runner_config = KubeflowV2DagRunnerConfig(default_image=config.cluster.image, use_pipeline_spec_2_1=True)
    with TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as aside:  # it judges by the suffix
        KubeflowV2DagRunner(runner_config, output_dir=aside, output_filename=output.name).run(pipeline)
        (Path(aside) / output.name).replace(output)


def _declare_resources(nodes: list[BaseComponent], resources: dict[str, ResourceConfig]) -> None:
    by_id = {node.id: node for node in nodes}
    for name, asked in resources.items():
        if name not in by_id:
            raise ConfigError(f"cluster.resources.{name}: there is no such node; the nodes are {', '.join(by_id)}")
        spec = Resources(cpu_limit=asked.cpu, memory_limit=asked.memory_gb)
        if asked.gpus:
            spec.accelerator.type, spec.accelerator.count = asked.gpu_type, asked.gpus
        by_id[name].with_platform_config(spec)
