"""Runs a pipeline from this machine: LocalDagRunner, sqlite metadata, and the Beam engine of the config."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config

from efficientdet.errors import EfficientDetError
from efficientdet.initial_weights import check_initial_weights
from pipeline.beam import check_arguments
from pipeline.champion import lost_pushes, resolve_baseline
from pipeline.config import PipelineConfig
from pipeline.fingerprint import data_fingerprint
from pipeline.pipeline import create_pipeline, training_inputs
from pipeline.run_history import Run, runs
from pipeline.selection import Selection

EXECUTION = metadata_store_pb2.Execution
METADATA_FILE, LOCK_FILE = "metadata.db", "run.lock"
ALL = Selection()

logger = logging.getLogger(__name__)


def run(config: PipelineConfig, selection: Selection = ALL, wait: bool = False) -> None:
    """Runs every node, or takes it from the cache; raises what the failing node raised.

    Of a `selection` the nodes are run whatever the cache has. Wrong arguments of Beam and missing weights to start from
    are told before any work. A second run in the same folder is refused while the first lives, or with `wait` begins
    when it ends. What a killed run left behind, executions marked as running and their outputs, is cleared away first.
    """
    check_arguments(config.beam)
    check_initial_weights(config.detector.model)
    artifacts = Path(config.root) / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    with only_run(Path(config.root), wait):
        sweep_stale(config)
        data = data_fingerprint(config.source)
        baseline = resolve_baseline(config, training_inputs(config, data))
        pipeline = create_pipeline(config, str(artifacts), data, baseline, lost_pushes(config))
        pipeline.metadata_connection_config = sqlite_metadata_connection_config(str(metadata_path(config)))
        options = None
        if selection:
            pipeline.enable_cache = False  # what is not selected is taken over from an earlier run, not from the cache
            options = selection.options(pipeline.components, history(config))
        LocalDagRunner().run(pipeline, options)


def metadata_path(config: PipelineConfig) -> Path:
    """The sqlite file of a local pipeline's metadata."""
    return Path(config.root) / METADATA_FILE


def metadata_store(config: PipelineConfig) -> MetadataStore:
    """An open store of a local pipeline's metadata."""
    return MetadataStore(sqlite_metadata_connection_config(str(metadata_path(config))))


def history(config: PipelineConfig) -> list[Run]:
    """The runs of a local pipeline, the newest first."""
    return runs(metadata_store(config)) if metadata_path(config).exists() else []


def sweep_stale(config: PipelineConfig) -> None:
    """Marks executions a killed run left as running as failed, and removes their unfinished outputs."""
    if not metadata_path(config).exists():
        return
    store = metadata_store(config)
    stale = [e for e in store.get_executions() if e.last_known_state in (EXECUTION.RUNNING, EXECUTION.NEW)]
    for execution in stale:
        execution.last_known_state = EXECUTION.FAILED
        for output in (Path(config.root) / "artifacts").glob(f"*/*/{execution.id}"):
            shutil.rmtree(output)
    if stale:
        store.put_executions(stale)
        logger.warning("cleared %d unfinished steps of an interrupted run", len(stale))


@contextmanager
def only_run(root: Path, wait: bool = False) -> Iterator[None]:
    """Holds the run lock of a folder; the kernel frees it when the process dies, however it dies.

    Raises:
      EfficientDetError: another process holds it, and this one is not to `wait`.
    """
    with (root / LOCK_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = f"{root}: process {lock.read().strip() or 'unknown'} is running this pipeline"
            if not wait:
                raise EfficientDetError(f"{holder}; wait for it (--wait), or set another root") from error
            logger.warning("%s; waiting for its end", holder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
