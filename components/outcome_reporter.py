"""The OutcomeReporter: the node that runs when all others have ended, and tells how."""

from __future__ import annotations

import http.client
import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.orchestration.kubeflow.decorators import FinalStatusStr
from tfx.types import Artifact, ComponentSpec
from tfx.types.component_spec import ExecutionParameter

from efficientdet.atomic_file import write_json
from efficientdet.errors import EfficientDetError

TIMEOUT_S = 30

Artifacts = dict[str, list[Artifact]]


class Executor(base_executor.BaseExecutor):
    """Posts the outcome to a webhook, or writes it to a file."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Tells `report_to`; see `OutcomeReporter`. EfficientDetError when the webhook does not take it."""
        outcome = read_outcome(exec_properties["pipeline"], exec_properties["final_status"])
        tell(exec_properties["report_to"], outcome)


def read_outcome(pipeline: str, final_status: str) -> dict[str, Any]:
    """What is told of a run: {pipeline, run, state, error, text}, of a PipelineTaskFinalStatus as JSON."""
    status = json.loads(final_status)
    run, state = status.get("pipelineJobResourceName", ""), status.get("state", "UNKNOWN")
    return as_outcome(pipeline, run, state, status.get("error", {}).get("message", ""))


def as_outcome(pipeline: str, run: str, state: str, error: str) -> dict[str, str]:
    """The same of its parts."""
    text = f"{pipeline}: {state}" + (f", {error}" if error else "") + (f" ({run})" if run else "")
    return {"pipeline": pipeline, "run": run, "state": state, "error": error, "text": text}


def tell(place: str, outcome: dict[str, Any]) -> None:
    """Writes the outcome to a file, an absolute path, or posts it to a webhook."""
    if place.startswith("/"):
        write_json(Path(place), outcome)
    else:
        post(place, outcome)


def post(webhook: str, outcome: dict[str, Any]) -> None:
    """Sends the outcome as JSON; EfficientDetError, without the webhook's path, where it does not take it."""
    # A webhook's path is often its password, and these errors may quote it.
    try:
        host = urlsplit(webhook).hostname
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(webhook, json.dumps(outcome).encode(), headers, method="POST")
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
    except (http.client.HTTPException, ValueError) as error:
        kind = type(error).__name__
        raise EfficientDetError(f"the webhook did not take the outcome ({kind}); check report_to") from None
    except OSError as error:
        said = f"HTTP status {error.code}" if isinstance(error, HTTPError) else error
        raise EfficientDetError(f"the webhook at {host} did not take the outcome ({said}); check report_to") from None


class OutcomeReporterSpec(ComponentSpec):
    """The OutcomeReporter's ports; an exit handler has no artifacts."""

    INPUTS: dict[str, Any] = {}  # noqa: RUF012 TFX's own form
    OUTPUTS: dict[str, Any] = {}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        "pipeline": ExecutionParameter(type=str),
        "report_to": ExecutionParameter(type=str),
        "final_status": ExecutionParameter(type=str),
    }


class OutcomeReporter(base_component.BaseComponent):
    """Tells how a run ended, whatever happened: a JSON object {pipeline, run, state, error, text}."""

    SPEC_CLASS = OutcomeReporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, pipeline: str, report_to: str) -> None:
        """
        Args:
          pipeline: name of the pipeline.
          report_to: a webhook's address, which is posted to, or the absolute path of a file, which is replaced.
        """
        spec = OutcomeReporterSpec(pipeline=pipeline, report_to=report_to, final_status=FinalStatusStr())
        super().__init__(spec)
