"""What we write is what Kubeflow's own compiler writes for the same wishes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl, kubernetes

from pipeline.cluster import ClusterConfig
from pipeline.placement import BACKOFF, container_resources, kubernetes_config

CLUSTER = ClusterConfig.parse(
    {
        "image_pull_secret": "puller",
        "secrets": [{"name": "mlflow", "variables": {"password": "PASSWORD"}}, {"name": "keys", "mount_path": "/keys"}],
        "volumes": [{"claim": "images", "mount_path": "/data"}],
        "resources": {
            "Trainer": {"cpu": 8, "memory_gb": 30, "gpus": 2, "gpu_type": "nvidia-l4", "node_selector": {"pool": "gpu"}}
        },
    }
)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, dict]:
    """A task, its container and its Kubernetes configuration, by the SDK."""

    @dsl.container_component
    def train():
        return dsl.ContainerSpec(image="image", command=["train"])

    @dsl.pipeline(name="pipeline")
    def pipeline():
        task = train().set_cpu_limit("8").set_memory_limit("30G")
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(2).set_retry(3, "60s", 2.0, "3600s")
        kubernetes.add_node_selector(task, "cloud.google.com/gke-accelerator", "nvidia-l4")
        kubernetes.add_node_selector(task, "pool", "gpu")
        kubernetes.use_secret_as_env(task, "mlflow", {"password": "PASSWORD"})
        kubernetes.use_secret_as_volume(task, "keys", "/keys")
        kubernetes.mount_pvc(task, "images", "/data")
        kubernetes.set_image_pull_secrets(task, ["puller"])

    path = Path(tmp_path_factory.mktemp("theirs")) / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    spec, platform = yaml.safe_load_all(path.read_text())
    container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    own = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    return spec["root"]["dag"]["tasks"]["train"], container, own


def test_resources_are_written_as_kubeflow_writes_them(theirs: tuple[dict, dict, dict]):
    assert container_resources(CLUSTER.resources["Trainer"], "kubeflow") == theirs[1]["resources"]


def test_retries_are_written_as_kubeflow_writes_them(theirs: tuple[dict, dict, dict]):
    assert theirs[0]["retryPolicy"] == {"maxRetryCount": 3, **BACKOFF}


def test_kubernetes_own_is_written_as_kubeflow_writes_it(theirs: tuple[dict, dict, dict]):
    ours, own = kubernetes_config(CLUSTER.resources["Trainer"], CLUSTER), theirs[2]
    [volume] = own["secretAsVolume"]
    assert volume.pop("optional") is False  # the default of what we leave out
    assert ours == own
