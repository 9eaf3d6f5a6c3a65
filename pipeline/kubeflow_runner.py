"""Compiles the pipeline to a specification for Kubeflow Pipelines v2 or Vertex AI."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

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
from pipeline.placement import place, secret_versions

# They look the champion up, which no engine's cache knows of.
LOOKING_UP = ("ExampleValidator", "Evaluator")


def compile_pipeline(
    config: PipelineConfig, engine: Engine, output: str | Path, data: str | None = None
) -> CompiledSpec:
    """Writes the specification of `create_pipeline(config)`; the champion is looked up when the run scores.

    See `compile_spec`.
    """
    check_suffix(output, engine)
    spec = compile_spec(config, engine, data)
    spec.write(output, engine)
    return spec


def compile_spec(config: PipelineConfig, engine: Engine, data: str | None = None) -> CompiledSpec:
    """The same, not written; ConfigError for what the engine does not have.

    data: fingerprint of the source; None reads it. Empty for data that nobody can read here: they are read in each run,
    whatever the engine's cache has, and told from others by their examples.
    """
    cluster, parameters = config.cluster, Parameters.of(config)
    check_name(config.name)
    check_workers(config)
    check_arguments(config.beam)
    check_strategy(config)
    check_checkpoints(cluster, engine)
    job = custom_job(config) if engine == "vertex" else None
    data = data_fingerprint(config.source) if data is None else data
    pipeline = create_pipeline(
        config,
        cluster.root,
        data,
        baseline=f"@{rival_of(config.registry.alias)}",
        parameters=parameters,
        job=job,
        checkpoints=cluster.checkpoints,
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
    for name in LOOKING_UP if data else (pipeline.components[0].id, *LOOKING_UP):
        spec.run_always(name)
    place(spec, cluster, engine, elsewhere=[NODE] if job else [])
    return spec


def check_checkpoints(cluster: ClusterConfig, engine: Engine) -> None:
    """Raises ConfigError for a folder of checkpoints that a further attempt of the node would not find."""
    if cluster.checkpoints is None:
        return
    folder = PurePosixPath(cluster.checkpoints)
    if engine == "vertex" and not cluster.checkpoints.startswith(("gs://", node.MOUNTS["gs://"])):
        raise ConfigError(
            f"cluster.checkpoints={cluster.checkpoints}: goes with the node on Vertex AI, which has no volumes; leave "
            "it out, then it lies below cluster.root, or name a folder of a bucket"
        )
    if engine == "kubeflow" and not any(folder.is_relative_to(volume.mount_path) for volume in cluster.volumes):
        raise ConfigError(
            f"cluster.checkpoints={cluster.checkpoints}: lies in none of cluster.volumes, so on Kubeflow it goes with "
            "the node; name a folder below the mount_path of one"
        )


def check_workers(config: PipelineConfig, data_path: str = "") -> None:
    """Raises ConfigError for files of Beam's steps that their workers do not have; `data_path` is what a run gives."""
    data = {"--data-path": data_path} if data_path else {"source.path": config.source.path}
    places = {"cluster.root": config.cluster.root, **data}
    for setting, place_ in places.items():
        if config.beam.runner == "DataflowRunner" and "://" in place_ and not config.beam.workers_see_buckets:
            raise ConfigError(
                f"{setting}={place_}: nodes see a bucket as a folder, but workers of Dataflow do not; mount it in the "
                "image of the workers as docs/clusters.md says and set beam.workers_see_buckets=true, or take another "
                "beam.runner"
            )


def secret_words(cluster: ClusterConfig, engine: Engine) -> list[str]:
    """Arguments of a node's command for its secrets; none on Kubernetes, which gives them itself."""
    if engine == "kubeflow":
        return []
    return [f"{node.SECRET}{variable}={version}" for variable, version in secret_versions(cluster).items()]
