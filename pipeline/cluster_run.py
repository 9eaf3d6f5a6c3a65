"""A run on a cluster or on this machine, and what every engine's client does with runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

from efficientdet.errors import ConfigError
from pipeline.compiled_spec import SUFFIXES, Engine
from pipeline.config import PipelineConfig
from pipeline.schedule import Scheduler

# The engines' words, in ours: everything else is on its way.
ENDED = {
    "SUCCEEDED": "SUCCEEDED",
    "SKIPPED": "SUCCEEDED",
    "FAILED": "FAILED",
    "CANCELED": "CANCELED",
    "CANCELLED": "CANCELED",
}


class ClusterRun(NamedTuple):
    """A run: `id` for the engine, `name` for people, `state` as in SUCCEEDED, `created` in ISO 8601.

    error: the sentence of a run that failed. nodes: node id to its state, where the engine tells. parameters: what
    it was given. What only this machine tells of its own: by, the process and its host; seconds, so far; node, the one
    at work or that failed, and its seconds; outcome, as `run` tells it, of a run that succeeded.
    """

    id: str
    name: str
    state: str
    created: str
    error: str = ""
    nodes: dict[str, str] = {}  # noqa: RUF012 never changed
    parameters: dict[str, Any] = {}  # noqa: RUF012
    by: str = ""
    seconds: float | None = None
    node: str = ""
    node_seconds: float | None = None
    outcome: str = ""


class RunReader(Protocol):
    """What tells of runs; EfficientDetError where it refuses or cannot be reached."""

    def run(self, run_id: str) -> ClusterRun:
        """One run."""

    def runs(self, pipeline: str) -> Iterator[ClusterRun]:
        """The runs of a pipeline, the newest first."""


class ClusterClient(RunReader, Protocol):
    """What an engine's client gives."""

    def submit(self, spec: Path, name: str, parameters: dict[str, Any], cache: bool | None) -> ClusterRun:
        """Starts a run of a compiled file. `cache` overrules what is compiled, None does not."""


def open_client(config: PipelineConfig, engine: Engine) -> ClusterClient:
    """The client of an engine; imports the engine's library."""
    if engine == "kubeflow":
        from pipeline.kubeflow_client import KubeflowClient

        return KubeflowClient(config.cluster)
    from pipeline.vertex_client import VertexClient

    return VertexClient(config.cluster)


def open_scheduler(config: PipelineConfig, engine: Engine) -> Scheduler:
    """The same for schedules."""
    if engine == "kubeflow":
        from pipeline.kubeflow_scheduler import KubeflowScheduler

        return KubeflowScheduler(config.cluster)
    from pipeline.vertex_scheduler import VertexScheduler

    return VertexScheduler(config.cluster)


def submit(
    config: PipelineConfig, engine: Engine, parameters: dict[str, Any], name: str, cache: bool | None = None
) -> ClusterRun:
    """Compiles the pipeline and starts a run of it with these runtime parameters.

    Where the source has spans, the run trains the newest, and bears its name. It bears the path and the epochs in any
    case, so that others can tell what it trains when the config has become another.
    """
    # TFX takes its time, and only here it is needed.
    from components.run_parameters import DATA_PATH, EPOCHS
    from pipeline.kubeflow_runner import check_workers, compile_pipeline
    from pipeline.parameters import SPAN, Parameters
    from pipeline.span import newest_span

    check_workers(config, parameters.get(DATA_PATH, ""))
    compiled = Parameters.of(config).values
    parameters = {name: compiled[name] for name in (DATA_PATH, EPOCHS)} | parameters
    source, span = newest_span(config.source, parameters[DATA_PATH])
    if span:
        config, parameters = config.model_copy(update={"source": source}), {**parameters, SPAN: span}
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{config.name}{SUFFIXES[engine][0]}"
        elsewhere = parameters[DATA_PATH] != compiled[DATA_PATH]
        compile_pipeline(config, engine, path, data="" if elsewhere else None)
        return open_client(config, engine).submit(path, name, parameters, cache)


def state_of(word: str | None) -> str:
    """SUCCEEDED, FAILED, CANCELED or RUNNING, of an engine's word such as PIPELINE_STATE_FAILED."""
    return ENDED.get((word or "").rpartition("PIPELINE_STATE_")[2], "RUNNING")


def require(value: str | None, setting: str, what: str) -> str:
    """A setting that an engine cannot do without; ConfigError for none."""
    if not value:
        raise ConfigError(f"{setting} is not set; name {what}")
    return value
