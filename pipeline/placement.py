"""Where each node of a compiled pipeline runs: resources, node selectors, secrets, volumes and further attempts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes_pb2

from efficientdet.errors import ConfigError
from pipeline.cluster import ClusterConfig, ResourceConfig, TpuConfig
from pipeline.compiled_spec import CompiledSpec, Engine

# Labels by which Kubernetes' nodes name their accelerators, and the resources that they offer.
GPU_LABEL, GPU_RESOURCE = "cloud.google.com/gke-accelerator", "nvidia.com/gpu"
TPU_LABEL, TPU_RESOURCE = "cloud.google.com/gke-tpu-accelerator", "google.com/tpu"
TOPOLOGY_LABEL = "cloud.google.com/gke-tpu-topology"
TPU_NAMES = {"v4": "tpu-v4-podslice", "v5e": "tpu-v5-lite-podslice", "v5p": "tpu-v5p-slice", "v6e": "tpu-v6e-slice"}
# An attempt follows a minute after the first failure, then after two, four, up to an hour.
BACKOFF = {"backoffDuration": "60s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s"}

KubernetesConfig = kubernetes_pb2.KubernetesExecutorConfig


def place(spec: CompiledSpec, cluster: ClusterConfig, engine: Engine, elsewhere: Collection[str] = ()) -> None:
    """Gives every node of a specification what the cluster's config says.

    The nodes `elsewhere` have machines of their own, as a custom job has, which they only wait for.

    Raises:
      ConfigError: for a machine that the engine does not give a node.
    """
    for node, asked in cluster.resources.items():
        if node not in elsewhere:
            _check_machine(node, asked, engine)
    for node, task in spec.tasks.items():
        if retries := cluster.retries_of(node):
            task["retryPolicy"] = {"maxRetryCount": retries, **BACKOFF}
    for node, container in spec.containers.items():
        asked = ResourceConfig() if node in elsewhere else cluster.resources.get(node, ResourceConfig())
        if resources := container_resources(asked, engine):
            container["resources"] = resources
        if engine == "kubeflow" and (own := kubernetes_config(asked, cluster)):
            spec.kubernetes[spec.label(node)] = own


def _check_machine(node: str, asked: ResourceConfig, engine: Engine) -> None:
    place = f"cluster.resources.{node}"
    if engine == "vertex" and asked.tpu:
        raise ConfigError(
            f"{place}.tpu: Vertex AI gives TPUs to custom jobs, and only the Trainer is one; leave it out"
        )
    if engine == "vertex" and asked.node_selector:
        raise ConfigError(f"{place}.node_selector: Vertex AI has no nodes to select; leave it out")
    if engine == "kubeflow" and (asked.workers > 1 or asked.machine_type):
        raise ConfigError(
            f"{place}: workers and machine_type are Vertex AI's, a node of Kubeflow is one pod; leave them out"
        )


def container_resources(asked: ResourceConfig, engine: Engine) -> dict[str, Any]:
    """The limits of a container; of an accelerator on Kubernetes the resource, on Vertex AI its model."""
    resources: dict[str, Any] = {}
    if asked.cpu:
        resources |= {"cpuLimit": asked.cpu, "resourceCpuLimit": f"{asked.cpu:g}"}
    if asked.memory_gb:
        resources |= {"memoryLimit": asked.memory_gb, "resourceMemoryLimit": f"{asked.memory_gb:g}G"}
    if asked.gpus:
        model = GPU_RESOURCE if engine == "kubeflow" else vertex_gpu(asked.gpu_type)
        resources["accelerator"] = _accelerator(model, asked.gpus)
    if asked.tpu and engine == "kubeflow":
        resources["accelerator"] = _accelerator(TPU_RESOURCE, asked.tpu.chips)
    return resources


def vertex_gpu(model: str) -> str:
    """Vertex AI's name of a GPU: NVIDIA_L4 of nvidia-l4."""
    return model.upper().replace("-", "_")


def secret_versions(cluster: ClusterConfig) -> dict[str, str]:
    """On Vertex AI, which has no secrets of its own: variable to the name of its secret's version in Secret Manager.

    Raises ConfigError for what can only be mounted, which Vertex AI does not do.
    """
    for number, secret in enumerate(cluster.secrets):
        if secret.mount_path:
            raise ConfigError(
                f"cluster.secrets.{number}.mount_path: Vertex AI mounts no secrets; give {secret.name} variables"
            )
        if secret.variables and cluster.project is None:
            raise ConfigError("cluster.project: the secrets are in Secret Manager; name Google Cloud's project")
    if cluster.volumes:
        raise ConfigError("cluster.volumes: Vertex AI mounts no volumes; put the data into a bucket, or leave them out")
    return {
        variable: f"projects/{cluster.project}/secrets/{name}/versions/latest"
        for secret in cluster.secrets
        for name, variable in secret.variables.items()
    }


def _accelerator(kind: str, count: int) -> dict[str, str]:
    # Older and newer releases of Kubeflow read different ones of these.
    return {"type": kind, "count": str(count), "resourceType": kind, "resourceCount": str(count)}


def kubernetes_config(asked: ResourceConfig, cluster: ClusterConfig) -> dict[str, Any]:
    """What is Kubernetes' own: selectors, secrets, volumes; empty for none."""
    config = KubernetesConfig()
    config.node_selector.labels.update(_accelerator_labels(asked) | asked.node_selector)
    if not config.node_selector.labels:
        config.ClearField("node_selector")
    for secret in cluster.secrets:
        if secret.variables:
            pairs = [
                kubernetes_pb2.SecretAsEnv.SecretKeyToEnvMap(secret_key=key, env_var=variable)
                for key, variable in secret.variables.items()
            ]
            _name(config.secret_as_env.add(key_to_env=pairs), secret.name)
        if secret.mount_path:
            _name(config.secret_as_volume.add(mount_path=secret.mount_path), secret.name)
    for volume in cluster.volumes:
        mount = config.pvc_mount.add(mount_path=volume.mount_path, constant=volume.claim)
        mount.pvc_name_parameter.runtime_value.constant.string_value = volume.claim
    if cluster.image_pull_secret:
        _name(config.image_pull_secret.add(), cluster.image_pull_secret)
    return json_format.MessageToDict(config)


def _name(secret: Any, name: str) -> None:
    secret.secret_name = name
    secret.secret_name_parameter.runtime_value.constant.string_value = name


def _accelerator_labels(asked: ResourceConfig) -> dict[str, str]:
    if asked.tpu:
        return _tpu_labels(asked.tpu)
    return {GPU_LABEL: asked.gpu_type} if asked.gpus else {}


def _tpu_labels(tpu: TpuConfig) -> dict[str, str]:
    return {TPU_LABEL: TPU_NAMES[tpu.generation], TOPOLOGY_LABEL: tpu.topology}
