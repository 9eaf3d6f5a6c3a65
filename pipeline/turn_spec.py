"""A turn of a schedule as a pipeline of its own, of one container that decides whether there is something to train."""

# No `from __future__ import annotations`: kfp reads the annotations of what it decorates.

import json

from google.protobuf import json_format
from kfp import dsl

from pipeline.cluster import turn_name
from pipeline.compiled_spec import CompiledSpec, Engine
from pipeline.config import PipelineConfig
from pipeline.placement import place

# How each engine tells a container the id that its client knows the run by.
RUN_ID = {"kubeflow": dsl.PIPELINE_JOB_ID_PLACEHOLDER, "vertex": dsl.PIPELINE_JOB_NAME_PLACEHOLDER}


def compile_turn(config: PipelineConfig, engine: Engine) -> CompiledSpec:
    """What a schedule starts: `efficientdet-pipeline schedule turn` in the configured image, with these settings."""
    command = ["python", "-m", "pipeline", "schedule", "turn", "--engine", engine]

    @dsl.container_component
    def turn(settings: str, run: str):  # type: ignore[no-untyped-def]
        return dsl.ContainerSpec(
            image=config.cluster.image, command=command, args=["--settings", settings, "--run", run]
        )

    @dsl.pipeline(name=turn_name(config.name))
    def pipeline() -> None:
        turn(settings=settings_of(config), run=RUN_ID[engine]).set_caching_options(False)

    job = {"pipelineSpec": json_format.MessageToDict(pipeline.pipeline_spec), "runtimeConfig": {}}
    job["pipelineSpec"]["defaultPipelineRoot"] = config.cluster.root
    spec = CompiledSpec(job)
    # The resources that are asked for are other nodes'.
    place(spec, config.cluster.model_copy(update={"resources": {}}), engine)
    return spec


def settings_of(config: PipelineConfig) -> str:
    """The config as JSON, for a node: without defaults, and with the host that nodes reach."""
    host = config.cluster.inner_host or config.cluster.host
    config = config.model_copy(update={"cluster": config.cluster.model_copy(update={"host": host})})
    return json.dumps(config.model_dump(mode="json", exclude_defaults=True))
