"""Runs on Kubeflow Pipelines, through its own client."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import urllib3
from kfp.client import KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH, ServiceAccountTokenVolumeCredentials

from efficientdet.errors import EfficientDetError, reason
from pipeline.cluster import ClusterConfig
from pipeline.cluster_run import ClusterRun, require, state_of
from pipeline.compiled_spec import GROUP

PAGE = 100


class KubeflowClient:
    """A ClusterClient."""

    def __init__(self, cluster: ClusterConfig) -> None:
        self._cluster = cluster
        self._host = require(cluster.host, "cluster.host", "the address of Kubeflow's API")
        with self._said(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self._client = kfp.Client(
                host=self._host, namespace=cluster.namespace or "kubeflow", credentials=_token_of_node()
            )
            _take_json_alone(self._client._experiment_api.api_client)  # which all its services share

    def submit(self, spec: Path, name: str, parameters: dict[str, Any], cache: bool | None) -> ClusterRun:
        """Starts a run in the configured experiment."""
        with self.spoken():
            started = self._client.create_run_from_pipeline_package(
                str(spec),
                arguments=parameters,
                run_name=name,
                experiment_name=self._cluster.experiment,
                namespace=self._cluster.namespace,
                pipeline_root=self._cluster.root,
                enable_caching=cache,
                service_account=self._cluster.service_account,
            )
            return as_run(started.run_info)

    def run(self, run_id: str) -> ClusterRun:
        """One run."""
        with self.spoken():
            return as_run(self._client.get_run(run_id))

    def runs(self, pipeline: str) -> Iterator[ClusterRun]:
        """Those of the configured experiment."""
        experiment = self.experiment()
        token = "" if experiment else None
        while token is not None:
            with self.spoken():
                page = self._client.list_runs(
                    page_token=token, page_size=PAGE, sort_by="created_at desc", experiment_id=experiment
                )
                runs = [as_run(each) for each in page.runs or [] if pipeline_of(each) == pipeline]
            yield from runs
            token = page.next_page_token or None

    def experiment(self) -> str | None:
        """The id of the configured experiment; None while nothing has run in it."""
        named = {"operation": "EQUALS", "key": "display_name", "stringValue": self._cluster.experiment}
        with self.spoken():
            found = self._client.list_experiments(
                filter=json.dumps({"predicates": [named]}), namespace=self._cluster.namespace
            )
            return next((identity(each, "experiment_id") for each in found.experiments or []), None)

    def open_experiment(self) -> str:
        """The same, made where there is none."""
        with self.spoken():
            made = self._client.create_experiment(self._cluster.experiment, namespace=self._cluster.namespace)
            return identity(made, "experiment_id")

    @contextmanager
    def spoken(self) -> Iterator[kfp.Client]:
        """The client, its errors in our words, and its prints unseen."""
        with self._said():
            yield self._client

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            with redirect_stdout(StringIO()):
                yield
        except kfp_server_api.ApiException as error:
            said = " ".join(str(error.body or error.reason).split())[:500]
            raise EfficientDetError(f"{self._host}: Kubeflow refuses with {error.status}: {said}") from error
        except (urllib3.exceptions.HTTPError, TimeoutError) as error:
            raise EfficientDetError(
                f"{self._host}: Kubeflow does not answer ({type(error).__name__}); check cluster.host"
            ) from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise EfficientDetError(
                f"{self._host}: Kubeflow's client cannot go on ({reason(error)}); check cluster.host, and whether the "
                "Kubeflow there is of version 2"
            ) from error


def _take_json_alone(api: kfp_server_api.ApiClient) -> None:
    """Has the client refuse what is no JSON object, of which it would make an empty message: a login page."""
    read = api.deserialize

    def strict(response: Any, kind: str) -> Any:
        try:
            is_message = isinstance(json.loads(response.data), dict)
        except ValueError:
            is_message = False
        if not is_message:
            said = " ".join(str(response.data).split())[:80]
            raise EfficientDetError(
                f"{api.configuration.host}: what answers is not Kubeflow's API ({said!r}); check that cluster.host is "
                "its address, and that no login page stands in front of it"
            )
        return read(response, kind)

    api.deserialize = strict


def identity(message: Any, field: str) -> str:
    """The id of what Kubeflow tells of; EfficientDetError for an answer without."""
    if value := getattr(message, field, None):
        return str(value)
    raise EfficientDetError(
        f"what answers is not Kubeflow's API: there is no {field} in its answer; check cluster.host"
    )


def _token_of_node() -> ServiceAccountTokenVolumeCredentials | None:
    """What a node proves to be itself with, where Kubeflow gives it a token."""
    path = os.environ.get(KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH)
    return ServiceAccountTokenVolumeCredentials(path) if Path(path).is_file() else None


def as_run(run: Any) -> ClusterRun:
    """Of the client's V2beta1Run."""
    details = (run.run_details and run.run_details.task_details) or []
    nodes = {task.display_name: state_of(task.state) for task in details if task.display_name != GROUP}
    created = run.created_at.isoformat() if run.created_at else ""
    error = (run.error and run.error.message) or ""
    parameters = (run.runtime_config and run.runtime_config.parameters) or {}
    return ClusterRun(
        identity(run, "run_id"), run.display_name or "", state_of(run.state), created, error, nodes, parameters
    )


def pipeline_of(run: Any) -> str:
    """The name of a V2beta1Run's pipeline; of one that bears no specification, the first word of its own name."""
    spec: Any = run.pipeline_spec or {}
    name: str = spec.get("pipeline_spec", spec).get("pipelineInfo", {}).get("name", "")
    return name or (run.display_name or "").partition(" ")[0]
