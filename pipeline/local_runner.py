"""Runs a pipeline from this machine: LocalDagRunner, the metadata and the Beam engine of the config."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.pipeline import Pipeline

from efficientdet.initial_weights import check_initial_weights
from pipeline.beam import check_arguments
from pipeline.champion import lost_pushes, resolve_baseline
from pipeline.config import PipelineConfig
from pipeline.fingerprint import data_fingerprint
from pipeline.metadata import Metadata
from pipeline.pipeline import create_pipeline, training_inputs
from pipeline.recorded_runner import RecordedRunner, record_end
from pipeline.root_id import root_id
from pipeline.run_history import ENDED, ERROR, INTERRUPTED, ROOT, Run, run_contexts, runs
from pipeline.run_lock import only_run
from pipeline.selection import Selection

EXECUTION = metadata_store_pb2.Execution
ALL = Selection()

logger = logging.getLogger(__name__)


def new_run() -> str:
    """A name for a run that begins now."""
    return datetime.now().isoformat()


def run(config: PipelineConfig, selection: Selection = ALL, wait: bool = False, name: str | None = None) -> None:
    """Runs every node, or takes it from the cache; raises what the failing node raised.

    Of a `selection` the nodes are run whatever the cache has. Wrong arguments of Beam, missing weights to start from
    and metadata that cannot be opened are told before any work. `name` is the run's, by default `new_run()`.
    """
    check_arguments(config.beam)
    check_initial_weights(config.detector.model)
    run_pipeline(config, lambda: _configured(config), selection, wait, name)


def run_pipeline(
    config: PipelineConfig,
    build: Callable[[], Pipeline],
    selection: Selection = ALL,
    wait: bool = False,
    name: str | None = None,
) -> None:
    """Runs what `build` makes, with the root, the name and the metadata of the config.

    A second run in the same folder is refused while the first lives, or with `wait` begins when it ends. What a killed
    run left behind, executions marked as running and their outputs, is cleared away first.
    """
    root, metadata, name = Path(config.root), Metadata.of(config), name or new_run()
    root.mkdir(parents=True, exist_ok=True)
    with only_run(root, wait):
        store = metadata.open()
        sweep_stale(config, store)
        pipeline, options = build(), None
        pipeline.metadata_connection_config = metadata.connection
        if selection:
            pipeline.enable_cache = False  # what is not selected is taken over from an earlier run, not from the cache
            options = selection.options(pipeline.components, _runs_here(config, store))
        try:
            RecordedRunner(name, root_id(root), metadata.connection).run(pipeline, options)
        except BaseException as error:
            _record_failure(metadata, name, error)
            raise
        record_end(metadata.open(), name, None)


def _configured(config: PipelineConfig) -> Pipeline:
    """The detector's pipeline, of the data and the registry as they are now."""
    data = data_fingerprint(config.source)
    baseline = resolve_baseline(config, training_inputs(config, data))
    artifacts = Path(config.root) / "artifacts"
    artifacts.mkdir(exist_ok=True)
    return create_pipeline(config, str(artifacts), data, baseline, lost_pushes(config))


def _runs_here(config: PipelineConfig, store: MetadataStore) -> Iterator[Run]:
    """The runs whose results lie in this root, the newest first."""
    own, shared = root_id(Path(config.root)), Metadata.of(config).database is not None
    return (run for run in runs(store, config.name) if run.root == own or not shared)


def sweep_stale(config: PipelineConfig, store: MetadataStore) -> None:
    """Marks what killed runs in this root left as running as failed, and removes their unfinished outputs.

    In a shared database the runs of other roots, which may be alive on other machines, are left alone.
    """
    own, shared = root_id(Path(config.root)), Metadata.of(config).database is not None
    broken = [run for run in run_contexts(store, config.name) if run.custom_properties[ROOT].string_value == own]
    broken = [run for run in broken if not run.custom_properties[ENDED].string_value]
    candidates = [e for run in broken for e in store.get_executions_by_context(run.id)]
    candidates = candidates if shared else store.get_executions()
    stale = [e for e in candidates if e.last_known_state in (EXECUTION.RUNNING, EXECUTION.NEW)]
    for execution in stale:
        execution.last_known_state = EXECUTION.FAILED
        for output in (Path(config.root) / "artifacts").glob(f"*/*/{execution.id}"):
            shutil.rmtree(output)
    if stale:
        store.put_executions(stale)
        logger.warning("cleared %d unfinished steps of an interrupted run", len(stale))
    for run in broken:
        run.custom_properties[ENDED].string_value = "FAILED"
        run.custom_properties[ERROR].string_value = INTERRUPTED
    if broken:
        store.put_contexts(broken)


def _record_failure(metadata: Metadata, name: str, error: BaseException) -> None:
    """Records how the run failed; what then fails in the metadata is only logged, for the first failure matters."""
    try:
        record_end(metadata.open(), name, error)
    except Exception as second:
        logger.warning("the end of the run is not in the metadata: %s", second)
