"""The runs of a local pipeline, as its metadata tells them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

RUN_CONTEXT = "pipeline_run"
DONE = ("COMPLETE", "CACHED")
State = metadata_store_pb2.Execution.State


@dataclass(frozen=True)
class NodeRun:
    """One node of a run.

    state: COMPLETE, CACHED, FAILED, CANCELED, RUNNING or NEW, as the metadata spell it. seconds: from its start to the
    last change.
    """

    name: str
    state: str
    seconds: float

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"name": self.name, "state": self.state, "cached": self.state == "CACHED", "seconds": self.seconds}


@dataclass(frozen=True)
class Run:
    """One run.

    id: in the metadata. name: what `run` prints at its end. started: ISO 8601, UTC. nodes: those that it came to, in
    the order of their start.
    """

    id: int
    name: str
    started: str
    nodes: tuple[NodeRun, ...]

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


def latest_run(store: MetadataStore) -> int | None:
    """Id of the newest run in the metadata; None before the first."""
    return max((run.id for run in store.get_contexts_by_type(RUN_CONTEXT)), default=None)


def runs(store: MetadataStore) -> list[Run]:
    """All of them, the newest first."""
    found = sorted(store.get_contexts_by_type(RUN_CONTEXT), key=lambda context: -context.id)
    return [_run(store, context) for context in found]


def nodes_of(store: MetadataStore, run: int) -> list[NodeRun]:
    """The nodes of the run with this id, in the order of their start."""
    executions = sorted(store.get_executions_by_context(run), key=lambda e: e.id)
    return [_node(store, execution) for execution in executions]


def _run(store: MetadataStore, context: metadata_store_pb2.Context) -> Run:
    started = datetime.fromtimestamp(context.create_time_since_epoch / 1000, UTC).isoformat(timespec="seconds")
    return Run(context.id, context.name, started, tuple(nodes_of(store, context.id)))


def _node(store: MetadataStore, execution: metadata_store_pb2.Execution) -> NodeRun:
    contexts = store.get_contexts_by_execution(execution.id)
    name = next(c.name.rpartition(".")[2] for c in contexts if c.type == "node")
    elapsed = (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000
    return NodeRun(name, State.Name(execution.last_known_state), round(elapsed, 1))
