"""Compiles the pipeline to a specification for Kubeflow Pipelines v2 or Vertex AI."""

from __future__ import annotations

from pathlib import Path

from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig

from components.outcome_reporter import OutcomeReporter
from efficientdet.errors import ConfigError
from efficientdet.registry import rival_of
from pipeline import node
from pipeline.beam import check_arguments
from pipeline.cluster import ClusterConfig, check_name, check_nodes
from pipeline.compiled_spec import CompiledSpec, Engine, check_suffix
from pipeline.config import PipelineConfig
from pipeline.custom_job import NODE, check_strategy, custom_job
from pipeline.fingerprint import data_fingerprint
from pipeline.parameters import SPAN, TURN, Parameters
from pipeline.pipeline import create_pipeline
from pipeline.placement import place


def compile_pipeline(config: PipelineConfig, engine: Engine, output: str | Path) -> CompiledSpec:
    """Writes the specification of `create_pipeline(config)`; the champion is looked up when the run scores."""
    check_suffix(output, engine)
    spec = compile_spec(config, engine)
    spec.write(output, engine)
    return spec


def compile_spec(config: PipelineConfig, engine: Engine, data: str | None = None) -> CompiledSpec:
    """The same, not written; ConfigError for what the engine does not have.

    data: fingerprint of the source; None reads it.
    """
    cluster, parameters = config.cluster, Parameters.of(config)
    check_name(config.name)
    check_arguments(config.beam)
    check_strategy(config)
    job = custom_job(config) if engine == "vertex" else None
    pipeline = create_pipeline(
        config,
        cluster.root,
        data_fingerprint(config.source) if data is None else data,
        baseline=f"@{rival_of(config.registry.alias)}",
        parameters=parameters,
        job=job,
    )
    check_nodes(cluster, [component.id for component in pipeline.components])
    pipeline.enable_cache = cluster.cache
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=cluster.image,
            default_commands=["python", "-m", node.MODULE, *secret_words(cluster, engine)],
            use_pipeline_spec_2_1=True,
        )
    )
    if cluster.report_to:
        runner.set_exit_handler(OutcomeReporter(config.name, cluster.report_to))
    spec = CompiledSpec(runner.run(pipeline, write_out=False))
    spec.complete(parameters.values)
    spec.declare([SPAN, TURN])
    place(spec, cluster, engine, elsewhere=[NODE] if job else [])
    return spec


def secret_words(cluster: ClusterConfig, engine: Engine) -> list[str]:
    """Arguments of a node's command for its secrets; none on Kubernetes, which gives them itself."""
    if engine == "kubeflow":
        return []
    for number, secret in enumerate(cluster.secrets):
        if secret.mount_path:
            raise ConfigError(
                f"cluster.secrets.{number}.mount_path: Vertex AI mounts no secrets; give {secret.name} variables"
            )
        if secret.variables and cluster.project is None:
            raise ConfigError("cluster.project: the secrets are in Secret Manager; name Google Cloud's project")
    if cluster.volumes:
        raise ConfigError("cluster.volumes: Vertex AI mounts no volumes; put the data into a bucket, or leave them out")
    return [
        f"{node.SECRET}{variable}=projects/{cluster.project}/secrets/{name}/versions/latest"
        for secret in cluster.secrets
        for name, variable in secret.variables.items()
    ]
