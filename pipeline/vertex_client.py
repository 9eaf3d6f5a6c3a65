"""Runs on Vertex AI Pipelines, through Google's own client."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud import aiplatform
from google.cloud.aiplatform_v1.types import PipelineTaskDetail
from google.protobuf import json_format

from efficientdet.errors import EfficientDetError, reason
from pipeline.cluster import ClusterConfig
from pipeline.cluster_run import ClusterRun, require, state_of
from pipeline.compiled_spec import GROUP

LABEL = "efficientdet_pipeline"


class VertexClient:
    """A ClusterClient."""

    def __init__(self, cluster: ClusterConfig) -> None:
        self._cluster = cluster
        self.place = {
            "project": require(cluster.project, "cluster.project", "Google Cloud's project"),
            "location": cluster.region,
        }
        _mute_google()

    def submit(self, spec: Path, name: str, parameters: dict[str, Any], cache: bool | None) -> ClusterRun:
        """Starts a run, labelled with the pipeline's name."""
        with self.spoken():
            job = self.job(spec, name, parameters, cache, job_id=job_id(name))
            job.submit(service_account=self._cluster.service_account)
            return as_run(job)

    def job(
        self, spec: Path, name: str, parameters: dict[str, Any], cache: bool | None, **more: str
    ) -> aiplatform.PipelineJob:
        """A run that is not started yet."""
        return aiplatform.PipelineJob(
            display_name=name,
            template_path=str(spec),
            pipeline_root=self._cluster.root,
            parameter_values=parameters,
            enable_caching=cache,
            labels={LABEL: spec.stem},
            **more,
            **self.place,
        )

    def run(self, run_id: str) -> ClusterRun:
        """One run."""
        with self.spoken():
            return as_run(aiplatform.PipelineJob.get(run_id, **self.place))

    def runs(self, pipeline: str) -> Iterator[ClusterRun]:
        """Those that are labelled with the pipeline's name."""
        with self.spoken():
            asked = {"filter": f'labels.{LABEL}="{pipeline}"', "order_by": "create_time desc"}
            found = [as_run(job) for job in aiplatform.PipelineJob.list(**asked, **self.place)]
        yield from found

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """The client's errors in our words."""
        where = f"project {self.place['project']} in {self.place['location']}"
        try:
            yield
        except GoogleAuthError as error:
            raise EfficientDetError(
                f"{where}: there are no credentials ({error}); log in with `gcloud auth application-default login`"
            ) from error
        except GoogleAPIError as error:
            raise EfficientDetError(f"{where}: Vertex AI refuses: {' '.join(str(error).split())[:500]}") from error
        except (json_format.ParseError, TypeError, AttributeError, KeyError) as error:
            raise EfficientDetError(
                f"{where}: what answers is not Vertex AI ({reason(error)}); check the network, and what stands between"
            ) from error
        except OSError as error:
            raise EfficientDetError(
                f"{where}: Vertex AI does not answer ({reason(error)}); check the network"
            ) from error
        except (ValueError, RuntimeError) as error:
            raise EfficientDetError(f"{where}: Google's client refuses: {reason(error)}") from error


def _mute_google() -> None:
    """Keeps Google's notes off standard output, which is for what programs read; its warnings go to standard error."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("google.cloud.aiplatform"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.setLevel(logging.WARNING)


def job_id(name: str) -> str:
    """A run's name as Vertex AI takes it: up to 128 small letters, digits and hyphens, a letter first."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (words if words[:1].isalpha() else f"run-{words}")[:128].strip("-")


def as_run(job: aiplatform.PipelineJob) -> ClusterRun:
    """Of the client's PipelineJob."""
    resource = job.gca_resource
    states = PipelineTaskDetail.State
    nodes = {task.task_name: state_of(states(task.state).name) for task in resource.job_detail.task_details}
    nodes = {name: state for name, state in nodes.items() if name != GROUP}
    created = resource.create_time.isoformat() if resource.create_time else ""
    state = state_of(resource.state.name)
    config = json_format.MessageToDict(type(resource).pb(resource).runtime_config)
    parameters = config.get("parameterValues", {})
    return ClusterRun(job.name, resource.display_name, state, created, resource.error.message, nodes, parameters)
