"""What a run did, for scripts: outcome, reasons, metrics, ledger, data, model and nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from efficientdet.atomic_file import write_json
from efficientdet.blessing import BLESSED, FILE_NAME, INCONCLUSIVE, NOT_BLESSED
from efficientdet.infra_blessing import FILE_NAME as INFRA_FILE
from efficientdet.validation import ANOMALIES_FILE, DRIFT_FILE
from pipeline.run_history import RUN_CONTEXT, nodes_of

FAILED, COMPLETE = "FAILED", "COMPLETE"
"""What there is to say of a run that broke, and of one that was not to push anything."""


def summarise(store: MetadataStore, run: str, failure: str | None) -> dict[str, Any]:
    """The summary of the run with this name; `failure` is the sentence of the error that ended it, if one did."""
    context = store.get_context_by_type_and_name(RUN_CONTEXT, run)
    if context is None:
        return never_started(failure or "nothing ran")
    executions = sorted(store.get_executions_by_context(context.id), key=lambda e: e.id)
    folders = _output_folders(store, [e.id for e in executions])
    blessing = _json(folders.get("ModelBlessing"), FILE_NAME) or {}
    infra = _json(folders.get("InfraBlessing"), INFRA_FILE) or {}
    pushed = _json(folders.get("PushedModel"), "pushed.json")
    return {
        "run": run,
        "outcome": FAILED if failure else _outcome(blessing, pushed),
        "reasons": [failure] if failure else _reasons(blessing, infra, pushed),
        "override": blessing.get("override"),
        "metrics": blessing.get("metrics", {}),
        "runtimes": {runtime["variant"]: runtime for runtime in infra.get("runtimes", [])},
        "ledger": (_json(folders.get("Examples"), "ledger.json") or {}).get("total", {}),
        "data": _data(folders.get("ExampleAnomalies")),
        "model": {key: pushed[key] for key in ("name", "version", "alias")} if pushed and pushed["pushed"] else None,
        "nodes": [node.record() for node in nodes_of(store, context.id)],
    }


def never_started(failure: str) -> dict[str, Any]:
    """The summary of a run that failed before its first node."""
    return {
        "run": None,
        "outcome": FAILED,
        "reasons": [failure],
        "override": None,
        "metrics": {},
        "runtimes": {},
        "ledger": {},
        "data": {},
        "model": None,
        "nodes": [],
    }


def write(summary: dict[str, Any], path: str | Path) -> None:
    """Writes the summary as JSON, complete or not at all."""
    write_json(path, summary)


def _outcome(blessing: dict[str, Any], pushed: dict[str, Any] | None) -> str:
    """BLESSED for what was pushed, else why it was not: INCONCLUSIVE, or NOT_BLESSED for any other reason."""
    if pushed is None:
        return COMPLETE
    if pushed["pushed"]:
        return BLESSED
    return INCONCLUSIVE if blessing.get("outcome") == INCONCLUSIVE and not blessing["blessed"] else NOT_BLESSED


def _reasons(blessing: dict[str, Any], infra: dict[str, Any], pushed: dict[str, Any] | None) -> list[str]:
    """The sentences of the rules that were not kept or could not be told, on quality and then on runtime.

    Without any, why a blessed model was not pushed.
    """
    broken = [r["sentence"] for r in blessing.get("rules", []) if r["outcome"] in ("FAILED", INCONCLUSIVE)]
    broken += infra.get("reasons", [])
    if broken or pushed is None or pushed["pushed"]:
        return broken
    return [pushed["reason"]]


def _data(folder: Path | None) -> dict[str, Any]:
    """What the validator found: the anomalies, and by split the distance of each distribution."""
    anomalies, drift = _json(folder, ANOMALIES_FILE), _json(folder, DRIFT_FILE)
    if anomalies is None or drift is None:
        return {}
    distances = {
        kind: {
            split: {name: distance["value"] for name, distance in comparison["distances"].items()}
            for split, comparison in drift[kind].items()
        }
        for kind in ("skew", "drift")
    }
    return {**anomalies, "baseline": drift["baseline"], "note": drift["note"], **distances}


def _output_folders(store: MetadataStore, executions: list[int]) -> dict[str, Path]:
    """Artifact type name to the folder this run produced or took from the cache."""
    outputs = metadata_store_pb2.Event.OUTPUT
    events = store.get_events_by_execution_ids(executions) if executions else []
    artifacts = store.get_artifacts_by_id([e.artifact_id for e in events if e.type == outputs])
    return {artifact.type: Path(artifact.uri) for artifact in artifacts}


def _json(folder: Path | None, name: str) -> dict[str, Any] | None:
    """What a node wrote; None where it is not there, or damaged since."""
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8")) if folder else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
