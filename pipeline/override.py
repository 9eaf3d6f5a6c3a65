"""An audited override: a person blesses a model that the Evaluator refused, and the next run pushes it.

The verdict and its artifact stay as they are. The override is an execution of its own in the metadata, which takes
that blessing and gives a new one. Being the newest entry of the cache from which the Evaluator's step is taken, it is
what an unchanged run hands to the Pusher; a run that changes anything the verdict rests on is judged again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as proto
from tfx.components.evaluator import constants
from tfx.orchestration.portable.mlmd.event_lib import generate_event
from tfx.types.standard_component_specs import BLESSING_KEY, EVALUATION_KEY

from efficientdet.blessing import FILE_NAME, Blessing
from efficientdet.bundle import verify_manifest
from efficientdet.errors import DataError, EfficientDetError
from efficientdet.person import person
from pipeline.metadata import FILE_NAME as METADATA_FILE
from pipeline.metadata import Metadata
from pipeline.run_history import PIPELINE_CONTEXT, RUN_CONTEXT, run_contexts
from pipeline.run_lock import only_run

EXECUTION_TYPE = "BlessingOverride"
CACHE_CONTEXT = "execution_cache"
OUTPUT, INPUT = proto.Event.OUTPUT, proto.Event.INPUT


def bless(metadata: Metadata, run: str, reason: str, pipeline: str | None = None) -> Blessing:
    """Overrides the verdict of a run of a pipeline, and returns the record that says so.

    Args:
      metadata: of the pipeline, and where its folder is.
      run: id of the run, id of the Evaluator's execution, or the path of the blessing or evaluation.
      reason: why, for those who read it later.
      pipeline: its name; None if the metadata are of one pipeline alone.

    Raises:
      EfficientDetError: there is no such run, or it judged nothing. DataError: the record is damaged, already blessed,
      or no reason is given. ModelError: the model is no longer whole.
    """
    root = metadata.root
    if not metadata.begun or not root.is_dir():
        raise EfficientDetError(
            f"{root}: no pipeline has run here ({METADATA_FILE} is missing); nothing can be blessed"
        )
    with only_run(root):
        store = metadata.open()
        verdict = _verdict(store, run, pipeline)
        record = _checked(verdict).overrule(person(), datetime.now(UTC), reason)
        verify_manifest(verdict.custom_properties[constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY].string_value)
        _publish(store, verdict, record)
    return record


def root_of(path: str | Path) -> Path:
    """The folder of the pipeline that made the artifact at `path`; raises EfficientDetError when none did."""
    for folder in Path(path).absolute().parents:
        if (folder / METADATA_FILE).is_file():
            return folder
    raise EfficientDetError(
        f"{path}: lies in no folder of a pipeline ({METADATA_FILE} is in none above it); if its metadata are in a "
        "database, give --config"
    )


def _verdict(store: MetadataStore, run: str, pipeline: str | None) -> proto.Artifact:
    """The blessing artifact that the words name."""
    known = _runs(store, pipeline)
    executions = [execution for execution in _executions(store, run, known) if _of(store, execution, pipeline)]
    outputs = [event for event in store.get_events_by_execution_ids(executions) if event.type == OUTPUT]
    found = [
        artifact
        for artifact in store.get_artifacts_by_id([event.artifact_id for event in outputs])
        if artifact.type == "ModelBlessing" and artifact.state == proto.Artifact.LIVE
    ]
    if not found:
        names = ", ".join(context.name for context in known[-3:])
        what = "has blessed and refused nothing" if executions else "is no run of this pipeline"
        raise EfficientDetError(f"{run}: {what}; its last runs are {names or 'none'}")
    return _overridden(store, found[-1]) or found[-1]


def _overridden(store: MetadataStore, verdict: proto.Artifact) -> proto.Artifact | None:
    """The blessing that an override has given in place of a verdict, if one has."""
    takers = [event.execution_id for event in store.get_events_by_artifact_ids([verdict.id]) if event.type == INPUT]
    overrides = {execution.id for execution in store.get_executions_by_type(EXECUTION_TYPE)} & set(takers)
    outputs = [event for event in store.get_events_by_execution_ids(list(overrides)) if event.type == OUTPUT]
    given = [event.artifact_id for event in outputs if _key(event) == BLESSING_KEY]
    return next(iter(store.get_artifacts_by_id(given)), None)


def _executions(store: MetadataStore, run: str, known: list[proto.Context]) -> Iterator[int]:
    """Ids of the executions of a run, of one execution, or of those that made the artifact at a path."""
    if context := next((context for context in known if context.name == run), None):
        yield from (execution.id for execution in store.get_executions_by_context(context.id))
    elif run.isdecimal():
        yield from (execution.id for execution in store.get_executions_by_id([int(run)]))
    elif Path(run).exists():
        folder = Path(run).absolute() if Path(run).is_dir() else Path(run).absolute().parent
        same = [artifact.id for artifact in store.get_artifacts() if Path(artifact.uri) == folder]
        events = store.get_events_by_artifact_ids(same) if same else []
        yield from (event.execution_id for event in events if event.type == OUTPUT)


def _runs(store: MetadataStore, pipeline: str | None) -> list[proto.Context]:
    found = run_contexts(store, pipeline) if pipeline else store.get_contexts_by_type(RUN_CONTEXT)
    return sorted(found, key=lambda context: context.id)


def _of(store: MetadataStore, execution: int, pipeline: str | None) -> bool:
    """Whether an execution belongs to a pipeline, as all do where there is one alone."""
    contexts = store.get_contexts_by_execution(execution) if pipeline else []
    return pipeline is None or any(c.type == PIPELINE_CONTEXT and c.name == pipeline for c in contexts)


def _checked(verdict: proto.Artifact) -> Blessing:
    """The record of a verdict; raises DataError unless metadata and files say the same."""
    record = Blessing.load(verdict.uri)
    stated = bool(verdict.custom_properties[constants.ARTIFACT_PROPERTY_BLESSED_KEY].int_value)
    if record.blessed != stated or record.blessed != (Path(verdict.uri) / constants.BLESSED_FILE_NAME).is_file():
        raise DataError(
            f"{Path(verdict.uri) / FILE_NAME}: does not say what the metadata and the files beside it say;"
            " evaluate the model again"
        )
    return record


def _publish(store: MetadataStore, verdict: proto.Artifact, record: Blessing) -> None:
    """Writes the new blessing and its execution; what is killed before the last step is swept away as TFX's own."""
    made = _maker(store, verdict)
    inputs = {event.artifact_id: event for event in store.get_events_by_execution_ids([made]) if event.type == OUTPUT}
    taken = store.get_artifacts_by_id(list(inputs))
    contexts = [c for c in store.get_contexts_by_execution(made) if c.type in (CACHE_CONTEXT, PIPELINE_CONTEXT)]
    execution = proto.Execution(type_id=_execution_type(store), last_known_state=proto.Execution.RUNNING)
    for key, value in _audit(store, made, record).items():
        execution.properties[key].string_value = value
    pairs = [(artifact, generate_event(INPUT, _key(inputs[artifact.id]), 0)) for artifact in taken]
    execution.id, _, _ = store.put_execution(execution, pairs, [])

    new = proto.Artifact(type_id=verdict.type_id, state=proto.Artifact.LIVE)
    new.uri = str(Path(verdict.uri).with_name(str(execution.id)))
    for key, value in verdict.custom_properties.items():
        new.custom_properties[key].CopyFrom(value)
    new.custom_properties[constants.ARTIFACT_PROPERTY_BLESSED_KEY].int_value = constants.BLESSED_VALUE
    record.write(new.uri)
    (Path(new.uri) / constants.BLESSED_FILE_NAME).touch()

    evaluation = [artifact for artifact in taken if _key(inputs[artifact.id]) == EVALUATION_KEY]
    outputs = [(artifact, generate_event(OUTPUT, EVALUATION_KEY, 0)) for artifact in evaluation]
    execution.last_known_state = proto.Execution.COMPLETE
    store.put_execution(execution, [*outputs, (new, generate_event(OUTPUT, BLESSING_KEY, 0))], contexts)


def _maker(store: MetadataStore, artifact: proto.Artifact) -> int:
    """The first execution that gave an artifact; later ones took it from the cache."""
    return min(event.execution_id for event in store.get_events_by_artifact_ids([artifact.id]) if event.type == OUTPUT)


def _execution_type(store: MetadataStore) -> int:
    kind = proto.ExecutionType(name=EXECUTION_TYPE)
    for key in ("by", "at", "reason", "verdict", "rules", "run"):
        kind.properties[key] = proto.STRING
    return store.put_execution_type(kind)


def _audit(store: MetadataStore, made: int, record: Blessing) -> dict[str, str]:
    """Who, when, why, and what was overridden."""
    assert record.override is not None
    runs = [context.name for context in store.get_contexts_by_execution(made) if context.type == RUN_CONTEXT]
    override = record.override
    said = {"by": override.by, "at": override.at.isoformat(), "reason": override.reason}
    return said | {"verdict": record.outcome, "rules": "\n".join(record.reasons), "run": ", ".join(runs)}


def _key(event: proto.Event) -> str:
    return event.path.steps[0].key
