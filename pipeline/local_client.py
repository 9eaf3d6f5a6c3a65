"""What `status` asks of this machine, in the words of the clusters' clients."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore

from efficientdet.errors import ConfigError
from pipeline.cluster_run import ClusterRun
from pipeline.config import PipelineConfig
from pipeline.metadata import Metadata
from pipeline.root_id import known_root
from pipeline.run_history import DONE, INTERRUPTED, NodeRun, Run, runs
from pipeline.run_lock import holder
from pipeline.summary import summarise

# The metadata's words for nodes, in those of runs.
NODE_STATES = {"COMPLETE": "SUCCEEDED", "CACHED": "SUCCEEDED", "NEW": "RUNNING"}


class LocalClient:
    """The runs of a pipeline on this machine, and those of other machines that share its metadata."""

    def __init__(self, config: PipelineConfig) -> None:
        self._pipeline, self._metadata = config.name, Metadata.of(config)
        self._root, self._process = known_root(Path(config.root)), holder(Path(config.root))

    def run(self, run_id: str) -> ClusterRun:
        """The run of this name; ConfigError where there is none."""
        found = next((run for run in self._runs() if run.id == run_id), None)
        if found is None:
            raise ConfigError(f"{run_id}: there is no such run of {self._pipeline}; leave out --run to list them")
        return found

    def runs(self, pipeline: str) -> Iterator[ClusterRun]:
        """All, the newest first."""
        del pipeline  # the client's own
        return self._runs()

    def _runs(self) -> Iterator[ClusterRun]:
        store = self._metadata.open() if self._metadata.begun else None
        recorded = runs(store, self._pipeline) if store else iter(())
        process, by = self._process, f"process {self._process} on {socket.gethostname()}"
        for run in recorded:
            if process is not None and self._is_here(run):
                if not self._lives(run):
                    yield ClusterRun("", self._pipeline, "RUNNING", "", by=by)  # on its way to its first node
                process = None
            assert store is not None
            yield self._status(store, run)
        if process is not None:
            yield ClusterRun("", self._pipeline, "RUNNING", "", by=by)

    def _is_here(self, run: Run) -> bool:
        """Whether a run is of this root."""
        return self._metadata.database is None or run.root == self._root

    def _lives(self, run: Run) -> bool:
        return not run.ended and self._process is not None and run.process == str(self._process)

    def _state(self, run: Run) -> tuple[str, str]:
        """The state of a run, and why it failed."""
        if run.ended:
            return run.ended, run.error
        if self._lives(run) or not self._is_here(run):
            return "RUNNING", ""
        if run.process or not run.nodes or any(node.state not in DONE for node in run.nodes):
            return "FAILED", INTERRUPTED
        return "SUCCEEDED", ""

    def _status(self, store: MetadataStore, run: Run) -> ClusterRun:
        state, error = self._state(run)
        nodes = {node.name: NODE_STATES.get(node.state, node.state) for node in run.nodes}
        last = run.last if run.last and run.last.state not in DONE else None
        if state == "FAILED" and last and nodes[last.name] == "RUNNING":
            nodes[last.name] = "FAILED"
        seconds = time.time() - datetime.fromisoformat(run.started).timestamp() if state == "RUNNING" else run.seconds
        return ClusterRun(
            run.name,
            self._pipeline,
            state,
            run.started,
            error,
            nodes,
            by=f"process {run.process} on {run.host}" if run.process else "",
            seconds=round(seconds, 1),
            node=last.name if last else "",
            node_seconds=_seconds(last, state) if last else None,
            outcome=summarise(store, run.name, None)["outcome"] if state == "SUCCEEDED" else "",
        )


def _seconds(node: NodeRun, state: str) -> float:
    """How long a node took, or has taken until now."""
    at_work = state == "RUNNING" and node.state not in DONE
    return round(time.time() - node.started, 1) if at_work else node.seconds
