"""Where compiled pipelines run, and what each node asks for there; the same words for Kubeflow and Vertex AI."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from efficientdet.errors import ConfigError
from efficientdet.settings import Settings

Generation = Literal["v4", "v5e", "v5p", "v6e"]
# Chips of the largest host of each generation.
_HOST_CHIPS: dict[str, int] = {"v4": 4, "v5e": 8, "v5p": 4, "v6e": 8}
# Of a label on Vertex AI, and of a Kubernetes object's name.
_LONGEST_NAME = 63
_TURN = "-turn"
ENVIRONMENT_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


def _one_host(topology: str) -> str:
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*(x[1-9]\d*)?", topology):
        raise ValueError("is no topology; give chips as 2x4, or 2x2x1")
    return topology


class TpuConfig(Settings):
    """The TPU chips of one host."""

    generation: Generation = Field("v5e", description="Generation of the TPU.")
    topology: Annotated[str, AfterValidator(_one_host)] = Field("2x2", description="Chips, as 2x4; v4, v5p: 2x2x1.")

    @model_validator(mode="after")
    def _on_one_host(self) -> TpuConfig:
        most = _HOST_CHIPS[self.generation]
        if self.chips > most:
            raise ValueError(
                f"tpu.topology={self.topology}: {self.chips} chips are on several hosts, but a training drives those of"
                f" one; {self.generation} has up to {most}"
            )
        return self

    @property
    def chips(self) -> int:
        """How many there are."""
        return math.prod(int(side) for side in self.topology.split("x"))


class ResourceConfig(Settings):
    """What one node asks of a cluster."""

    cpu: float | None = Field(None, gt=0, description="CPU cores.")
    memory_gb: float | None = Field(None, gt=0, description="Memory in GB, of 10^9 bytes.")
    gpus: int = Field(0, ge=0, description="GPUs.")
    gpu_type: str = Field(
        "nvidia-tesla-t4",
        pattern=r"^[a-z][a-z0-9-]*$",
        description="GPU model, as in nvidia-l4: the label of a Kubernetes node, NVIDIA_L4 on Vertex AI.",
    )
    tpu: TpuConfig | None = Field(None, description="TPU chips, as {generation: v5e, topology: 2x4}.")
    node_selector: dict[str, str] = Field(
        default_factory=dict, description="Kubernetes: further labels of the machine, as {pool: training}."
    )
    retries: int | None = Field(None, ge=0, description="Further attempts of this node; none: cluster.retries.")
    workers: int = Field(1, ge=1, description="Trainer on Vertex AI: machines that train together.")
    machine_type: str = Field(
        "", description="Trainer on Vertex AI: machine of the custom job, as a2-highgpu-1g; by default of CPU and GPUs."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> ResourceConfig:
        if self.gpus and self.tpu:
            raise ValueError("gpus and tpu are both asked for; a node has one of them, leave the other out")
        return self

    @property
    def accelerated(self) -> bool:
        """Whether it asks for GPUs or a TPU."""
        return bool(self.gpus or self.tpu)


class SecretConfig(Settings):
    """A secret that every node gets.

    On Kubernetes a Secret; on Vertex AI, which has none, a secret of Secret Manager for each variable.
    """

    name: str = Field(min_length=1, description="Kubernetes' name of the Secret; on Vertex AI not used.")
    variables: dict[str, Annotated[str, Field(pattern=ENVIRONMENT_NAME)]] = Field(
        default_factory=dict,
        description="Key of the Secret, or on Vertex AI secret of Secret Manager, to the variable that holds it.",
    )
    mount_path: str | None = Field(
        None, pattern="^/", description="Kubernetes: folder in which its keys appear as files."
    )

    @model_validator(mode="after")
    def _used(self) -> SecretConfig:
        if not self.variables and not self.mount_path:
            raise ValueError(f"secret {self.name}: appears nowhere; give it variables or a mount_path")
        return self


class VolumeConfig(Settings):
    """A volume that every node of a Kubernetes cluster mounts: data, a registry's folder."""

    claim: str = Field(min_length=1, description="Name of the PersistentVolumeClaim.")
    mount_path: str = Field(pattern="^/", description="Folder where it appears.")


class ClusterConfig(Settings):
    """Where compiled pipelines run."""

    root: str = Field("gs://your-bucket/pipelines", min_length=1, description="Artifact root the cluster can write.")
    checkpoints: str | None = Field(
        None,
        pattern=r"^(gs://|/)",
        description="Folder of checkpoints, by default below root; on Kubeflow name one in a volume.",
    )
    image: str = Field("efficientdet-pipeline:latest", min_length=1, description="Container image with this product.")
    image_pull_secret: str | None = Field(None, description="Kubernetes: Secret to pull the image with.")
    resources: dict[str, ResourceConfig] = Field(default_factory=dict, description="Node id to what it asks for.")
    retries: int = Field(1, ge=0, description="Further attempts of a node that failed.")
    cache: bool = Field(True, description="Whether nodes whose inputs are unchanged are taken from earlier runs.")
    secrets: tuple[SecretConfig, ...] = Field((), description="Secrets that every node gets.")
    volumes: tuple[VolumeConfig, ...] = Field((), description="Kubernetes: volumes that every node mounts.")
    service_account: str | None = Field(None, description="Service account that runs the nodes.")
    report_to: str | None = Field(
        None,
        pattern=r"^(https?://|/)",
        description="Where the outcome of every run is told: a webhook's https address, or a file's absolute path.",
    )
    host: str | None = Field(None, pattern="^https?://", description="Kubeflow: address of its API.")
    inner_host: str | None = Field(
        None, pattern="^https?://", description="Kubeflow: address of its API for the nodes, if it is another."
    )
    namespace: str | None = Field(None, description="Kubeflow: namespace of the runs.")
    experiment: str = Field("efficientdet", min_length=1, description="Experiment that groups the runs.")
    time_zone: str = Field("UTC", min_length=1, description="Kubeflow: that of its scheduler, for all schedules.")
    project: str | None = Field(None, description="Vertex AI: Google Cloud's project.")
    region: str = Field("us-central1", min_length=1, description="Vertex AI: region.")

    @model_validator(mode="after")
    def _sensible(self) -> ClusterConfig:
        # Not the field's rule: its error would show the address, whose path is often a password.
        if self.report_to and self.report_to.startswith("http") and re.search(r"\s", self.report_to):
            raise ValueError("cluster.report_to has white space, which no address has; leave it out")
        for node, asked in self.resources.items():
            if (asked.workers > 1 or asked.machine_type) and node != "Trainer":
                raise ValueError(
                    f"cluster.resources.{node}: workers and machine_type are for the Trainer; leave them out"
                )
        return self

    def retries_of(self, node: str) -> int:
        """Further attempts of a node."""
        asked = self.resources.get(node)
        return self.retries if asked is None or asked.retries is None else asked.retries


def turn_name(pipeline: str) -> str:
    """The name of the pipeline that each turn of a pipeline's schedule is."""
    return f"{pipeline}{_TURN}"


def check_name(pipeline: str) -> None:
    """Raises ConfigError for a pipeline's name that clusters do not take."""
    if len(turn_name(pipeline)) > _LONGEST_NAME:
        raise ConfigError(
            f"name: {pipeline!r} has {len(pipeline)} characters; clusters take {_LONGEST_NAME - len(_TURN)}, shorten it"
        )
    if pipeline.endswith(_TURN):
        raise ConfigError(f"name: {pipeline!r} ends in {_TURN}, as the turns of a schedule do; choose another")


def check_nodes(cluster: ClusterConfig, nodes: Iterable[str]) -> None:
    """Raises ConfigError for resources of a node that the pipeline does not have."""
    known = list(nodes)
    for name in cluster.resources:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ConfigError(
                f"cluster.resources.{name}: there is no such node; {hint}the nodes are {', '.join(known)}"
            )
