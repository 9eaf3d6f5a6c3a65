"""The runs of a local pipeline, as its metadata tells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipeline.config import PipelineConfig
from pipeline.metadata import Metadata

PIPELINE_CONTEXT, RUN_CONTEXT = "pipeline", "pipeline_run"
# Properties of a run's context: the id of its root, the machine and the process it began on, how it ended and why.
ROOT, HOST, PROCESS, ENDED, ERROR = "root", "host", "process", "ended", "error"
DONE = ("COMPLETE", "CACHED")
INTERRUPTED = "it was interrupted"
State = metadata_store_pb2.Execution.State


@dataclass(frozen=True)
class NodeRun:
    """One node of a run.

    state: COMPLETE, CACHED, FAILED, CANCELED, RUNNING or NEW, as the metadata spell it. seconds: from its start to the
    last change. started: seconds since 1970.
    """

    name: str
    state: str
    seconds: float
    started: float = 0.0

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"name": self.name, "state": self.state, "cached": self.state == "CACHED", "seconds": self.seconds}


@dataclass(frozen=True)
class Run:
    """One run.

    id: in the metadata. name: what `run` prints at its end. started: ISO 8601, UTC. nodes: those that it came to, in
    the order of their start. root: id of the root it ran in. host, process: where. ended: SUCCEEDED or FAILED; empty
    for one that has not come to an end, or was killed. error: why it failed.
    """

    id: int
    name: str
    started: str
    nodes: tuple[NodeRun, ...]
    root: str = ""
    host: str = ""
    process: str = ""
    ended: str = ""
    error: str = ""

    @property
    def seconds(self) -> float:
        """Of all its nodes together."""
        return round(sum(node.seconds for node in self.nodes), 1)

    @property
    def last(self) -> NodeRun | None:
        """The node that failed or is at work, or else the last that came to its end; None of a run without any."""
        open_ = tuple(node for node in self.nodes if node.state not in DONE)
        return next(reversed(open_ or self.nodes), None)

    def has_done(self, names: set[str]) -> bool:
        """Whether all these nodes came to a good end."""
        return names <= {node.name for node in self.nodes if node.state in DONE}

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"seconds": self.seconds, "nodes": [node.record() for node in self.nodes]}


def runs(store: MetadataStore, pipeline: str) -> Iterator[Run]:
    """Those of the pipeline with this name, the newest first, each read when it is asked for."""
    yield from (run_of(store, context) for context in run_contexts(store, pipeline))


def usual_seconds(newest: Iterable[Run]) -> dict[str, float]:
    """How long each node worked the last time that it was not taken from the cache, by name."""
    usual: dict[str, float] = {}
    for run in newest:
        usual |= {node.name: node.seconds for node in run.nodes if node.state == "COMPLETE" and node.name not in usual}
    return usual


def history(config: PipelineConfig) -> Iterator[Run]:
    """The runs of a local pipeline, the newest first; of all roots and machines that share its metadata."""
    metadata = Metadata.of(config)
    return runs(metadata.open(), config.name) if metadata.begun else iter(())


def run_contexts(store: MetadataStore, pipeline: str) -> list[metadata_store_pb2.Context]:
    """The same as the metadata keep them."""
    own = store.get_context_by_type_and_name(PIPELINE_CONTEXT, pipeline)
    children = store.get_children_contexts_by_context(own.id) if own else []
    return sorted((child for child in children if child.type == RUN_CONTEXT), key=lambda context: -context.id)


def run_of(store: MetadataStore, context: metadata_store_pb2.Context) -> Run:
    """The run of a context."""
    started = datetime.fromtimestamp(context.create_time_since_epoch / 1000, UTC).isoformat(timespec="seconds")
    told = {key: context.custom_properties[key].string_value for key in (ROOT, HOST, PROCESS, ENDED, ERROR)}
    return Run(context.id, context.name, started, tuple(nodes_of(store, context.id)), **told)


def nodes_of(store: MetadataStore, run: int) -> list[NodeRun]:
    """The nodes of the run with this id, in the order of their start."""
    executions = sorted(store.get_executions_by_context(run), key=lambda e: e.id)
    return [_node(store, execution) for execution in executions]


def _node(store: MetadataStore, execution: metadata_store_pb2.Execution) -> NodeRun:
    contexts = store.get_contexts_by_execution(execution.id)
    name = next(c.name.rpartition(".")[2] for c in contexts if c.type == "node")
    started = execution.create_time_since_epoch / 1000
    elapsed = execution.last_update_time_since_epoch / 1000 - started
    return NodeRun(name, State.Name(execution.last_known_state), round(elapsed, 1), started)
