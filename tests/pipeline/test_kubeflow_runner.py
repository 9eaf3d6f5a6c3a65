"""The compiled specification is the very pipeline that runs locally, placed as the config says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.utils.import_utils import import_class_by_path

from components.trainer.custom_job import SECRETS
from efficientdet.data.demo import write_demo_data
from efficientdet.errors import ConfigError
from pipeline.config import PipelineConfig, load_config
from pipeline.fingerprint import data_fingerprint
from pipeline.kubeflow_runner import compile_pipeline
from pipeline.pipeline import create_pipeline

CLUSTER = {
    "root": "gs://bucket/root",
    "image": "team/image:1",
    "project": "team",
    "resources": {
        "Tuner": {"cpu": 24, "memory_gb": 96, "gpus": 2, "gpu_type": "nvidia-l4"},
        "Evaluator": {"cpu": 4, "memory_gb": 16, "retries": 4},
        "Pusher": {"retries": 0},
    },
    "retries": 2,
    "secrets": [{"name": "mlflow", "variables": {"password": "MLFLOW_TRACKING_PASSWORD"}}],
    "report_to": "https://example.org/hook",
}
CLAIM = {"claim": "work", "mount_path": "/kept"}
MOUNTED = [{"name": "s", "mount_path": "/s"}]
ENGINES = ("kubeflow", "vertex")
NODES = 10
BACKOFF = {"backoffDuration": "60s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    """The demo's config, with data and a root in a bucket."""
    data = tmp_path_factory.mktemp("kubeflow") / "data"
    write_demo_data(data, images={"train": 2, "eval": 1}, size=(96, 96))
    demo = load_config("pipeline/configs/demo.yaml", [f"source.path={data}"])
    return demo.override({"cluster": {"root": "gs://bucket/root", "image": "team/image:1"}})


@pytest.fixture(scope="module")
def config(plain: PipelineConfig) -> PipelineConfig:
    """The same with a search, and everything that a cluster is asked for."""
    training = {"strategy": "gpus"}
    return plain.override({"cluster": CLUSTER, "tuning": {"trials": 2}, "detector": {"training": training}})


class Compiled:
    """What was written for an engine."""

    def __init__(self, config: PipelineConfig, engine: str, folder: Path) -> None:
        suffix = {"kubeflow": "yaml", "vertex": "json"}[engine]
        path = folder / f"demo.{suffix}"
        compile_pipeline(config, engine, path)  # type: ignore[arg-type]
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        self.engine, self.path = engine, path
        self.documents = list(yaml.safe_load_all(path.read_text()))
        self.spec: dict[str, Any] = self.documents[0] if suffix == "yaml" else self.documents[0]["pipelineSpec"]
        group = self.spec["components"].get("tfx-dag")
        self.tasks: dict[str, Any] = (group or self.spec["root"])["dag"]["tasks"]

    def container(self, node: str) -> dict[str, Any]:
        """What a node runs in."""
        return self.spec["deploymentSpec"]["executors"][self.spec["components"][node]["executorLabel"]]["container"]

    def resources(self, node: str) -> dict[str, Any]:
        return self.container(node).get("resources", {})

    def kubernetes(self, node: str) -> dict[str, Any]:
        """What only Kubernetes knows of a node."""
        executors = self.documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return executors.get(self.spec["components"][node]["executorLabel"], {})

    def custom_config(self) -> dict[str, Any]:
        constant = self.tasks["Trainer"]["inputs"]["parameters"]["custom_config"]["runtimeValue"]["constant"]
        return json.loads(constant)

    def edges(self) -> dict[str, set[tuple[str, str, str]]]:
        """Node id to its (input, producer, output)."""
        return {
            name: {
                (key, source["taskOutputArtifact"]["producerTask"], source["taskOutputArtifact"]["outputArtifactKey"])
                for key, source in task.get("inputs", {}).get("artifacts", {}).items()
            }
            for name, task in self.tasks.items()
        }


@pytest.fixture(scope="module", params=ENGINES)
def compiled(request: pytest.FixtureRequest, config: PipelineConfig, tmp_path_factory: pytest.TempPathFactory):
    return Compiled(config, request.param, tmp_path_factory.mktemp(request.param))


def local_edges(config: PipelineConfig) -> dict[str, set[tuple[str, str, str]]]:
    """The same as LocalDagRunner would run them."""
    pipeline = create_pipeline(config, config.cluster.root, data_fingerprint(config.source), "@champion")
    return {
        node.id: {(key, channel.producer_component_id, channel.output_key) for key, channel in node.inputs.items()}
        for node in pipeline.components
    }


def test_nodes_and_edges_are_those_of_the_local_run(compiled: Compiled, config: PipelineConfig):
    assert compiled.edges() == local_edges(config)
    assert len(compiled.edges()) == NODES
    assert ("hyperparameters", "Tuner", "best_hyperparameters") in compiled.edges()["Trainer"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pipeline_that_asks_for_nothing_is_compiled_too(engine: str, plain: PipelineConfig, tmp_path: Path):
    compiled = Compiled(plain.override({"cluster": {"retries": 0, "cache": False}}), engine, tmp_path)
    assert len(compiled.documents) == 1
    assert set(compiled.spec["root"]["dag"]["tasks"]) == set(local_edges(plain))
    for node, task in compiled.tasks.items():
        assert "retryPolicy" not in task
        assert not task.get("cachingOptions", {}).get("enableCache", False)
        assert compiled.resources(node) == {}
    assert json.dumps(compiled.spec).count("componentInputParameter") == 6


def test_every_node_runs_our_command_in_our_image(compiled: Compiled):
    secrets = ["--secret=MLFLOW_TRACKING_PASSWORD=projects/team/secrets/password/versions/latest"]
    own = secrets if compiled.engine == "vertex" else []
    for node in [*compiled.tasks, "OutcomeReporter"]:
        container = compiled.container(node)
        assert container["image"] == "team/image:1"
        assert container["command"] == ["python", "-m", "pipeline.node", *own]
        args = container["args"]
        assert issubclass(import_class_by_path(args[args.index("--executor_class_path") + 1]), BaseExecutor)


def test_resources_are_those_configured(compiled: Compiled):
    tuner = compiled.resources("Tuner")
    assert (tuner["cpuLimit"], tuner["memoryLimit"]) == (24, 96)
    assert (tuner["resourceCpuLimit"], tuner["resourceMemoryLimit"]) == ("24", "96G")
    kind = {"kubeflow": "nvidia.com/gpu", "vertex": "NVIDIA_L4"}[compiled.engine]
    assert tuner["accelerator"] == {"type": kind, "count": "2", "resourceType": kind, "resourceCount": "2"}
    assert (compiled.resources("Evaluator")["cpuLimit"], compiled.resources("Evaluator")["memoryLimit"]) == (4, 16)
    assert "accelerator" not in compiled.resources("Evaluator")
    assert compiled.resources("Pusher") == {}


def test_retries_and_caching_are_those_configured(compiled: Compiled, config: PipelineConfig, tmp_path: Path):
    retries = {"Evaluator": 4, "Trainer": 2, "CocoExampleGen": 2}
    for node, count in retries.items():
        assert compiled.tasks[node]["retryPolicy"] == {"maxRetryCount": count, **BACKOFF}
    assert "retryPolicy" not in compiled.tasks["Pusher"]
    asked = {node: task.get("cachingOptions") for node, task in compiled.tasks.items()}
    looking_up = {"ExampleValidator", "Evaluator"}  # the champion, which no engine's cache knows of
    assert asked == {node: None if node in looking_up else {"enableCache": True} for node in compiled.tasks}
    uncached = Compiled(config.override({"cluster": {"cache": False}}), compiled.engine, tmp_path)
    assert not any(task.get("cachingOptions") for task in uncached.tasks.values())


def test_data_of_another_place_are_read_by_every_run(plain: PipelineConfig, tmp_path: Path):
    """Nobody has read them here, so no engine's cache knows them, and each bucket is a training of its own."""
    places = set()
    for path in ("gs://digits/a", "gs://digits/b", "/a/volume/of/the/cluster"):
        compiled = Compiled(plain.override({"source": {"path": path}}), "vertex", tmp_path)
        cached = {node for node, task in compiled.tasks.items() if task.get("cachingOptions")}
        assert cached == compiled.tasks.keys() - {"CocoExampleGen", "ExampleValidator", "Evaluator"}
        places.add(compiled.custom_config()["checkpoints"])
        compiled.path.unlink()
    assert len(places) == 3


def test_the_outcome_is_reported_whatever_happens(compiled: Compiled):
    root = compiled.spec["root"]["dag"]["tasks"]
    assert set(root) == {"tfx-dag", "OutcomeReporter"}
    reporter = root["OutcomeReporter"]
    assert reporter["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert reporter["dependentTasks"] == ["tfx-dag"]
    parameters = reporter["inputs"]["parameters"]
    assert parameters["final_status"] == {"taskFinalStatus": {"producerTask": "tfx-dag"}}
    assert parameters["report_to"]["runtimeValue"]["constant"] == "https://example.org/hook"
    assert not reporter.get("cachingOptions", {}).get("enableCache", False)


def test_a_run_may_set_data_epochs_and_floors(compiled: Compiled, config: PipelineConfig):
    parameters = compiled.spec["root"]["inputDefinitions"]["parameters"]
    defaults = {name: parameter["defaultValue"] for name, parameter in parameters.items()}
    assert (defaults["data_path"], defaults["epochs"]) == (config.source.path, 16)
    assert json.loads(defaults["floors"]) == config.blessing.to_dict()["floors"]
    assert all(parameter["isOptional"] for parameter in parameters.values())
    group = compiled.spec["components"]["tfx-dag"]["inputDefinitions"]["parameters"]
    passed = compiled.spec["root"]["dag"]["tasks"]["tfx-dag"]["inputs"]["parameters"]
    assert set(group) == set(passed) == {"data_path", "epochs", "floors"}
    for node, name, parameter in (
        ("CocoExampleGen", "input_base", "data_path"),
        ("Trainer", "epochs", "epochs"),
        ("Trainer", "data_path", "data_path"),
        ("Evaluator", "floors", "floors"),
        ("Pusher", "epochs", "epochs"),
    ):
        assert compiled.tasks[node]["inputs"]["parameters"][name] == {"componentInputParameter": parameter}


def test_artifacts_lie_below_the_configured_root(compiled: Compiled):
    assert compiled.spec["defaultPipelineRoot"] == "gs://bucket/root"
    if compiled.engine == "vertex":
        assert compiled.documents[0]["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"


def test_checkpoints_lie_where_a_further_attempt_finds_them(plain: PipelineConfig, tmp_path: Path):
    below_root = Compiled(plain, "kubeflow", tmp_path).custom_config()["checkpoints"]
    fingerprint = below_root.removeprefix("gs://bucket/root/checkpoints/")
    (tmp_path / "demo.yaml").unlink()
    kept = plain.override({"cluster": {"checkpoints": "/kept/digits", "volumes": [CLAIM]}})
    assert Compiled(kept, "kubeflow", tmp_path).custom_config()["checkpoints"] == f"/kept/digits/{fingerprint}"


def test_what_is_kubernetes_own_stands_in_a_second_document(config: PipelineConfig, tmp_path: Path):
    own = {
        "volumes": [{"claim": "images", "mount_path": "/data"}],
        "image_pull_secret": "puller",
        "secrets": [*CLUSTER["secrets"], {"name": "keys", "mount_path": "/keys"}],  # type: ignore[misc]
        "resources": {
            "Evaluator": {"node_selector": {"pool": "large"}},
            "Trainer": {"tpu": {"generation": "v5e", "topology": "2x4"}},
        },
    }
    changed = config.override({"cluster": own, "detector": {"training": {"strategy": "tpu"}}})
    compiled = Compiled(changed, "kubeflow", tmp_path)
    tuner, trainer = compiled.kubernetes("Tuner"), compiled.kubernetes("Trainer")
    assert tuner["nodeSelector"] == {"labels": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}
    assert trainer["nodeSelector"]["labels"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "2x4",
    }
    accelerator = compiled.resources("Trainer")["accelerator"]
    assert (accelerator["type"], accelerator["count"]) == ("google.com/tpu", "8")
    assert compiled.kubernetes("Evaluator")["nodeSelector"] == {"labels": {"pool": "large"}}
    assert "nodeSelector" not in compiled.kubernetes("Pusher")
    for node in (*compiled.tasks, "OutcomeReporter"):
        [variables], [files] = compiled.kubernetes(node)["secretAsEnv"], compiled.kubernetes(node)["secretAsVolume"]
        assert variables["secretName"] == "mlflow"
        assert variables["keyToEnv"] == [{"secretKey": "password", "envVar": "MLFLOW_TRACKING_PASSWORD"}]
        assert (files["secretName"], files["mountPath"]) == ("keys", "/keys")
        assert [pull["secretName"] for pull in compiled.kubernetes(node)["imagePullSecret"]] == ["puller"]
        assert [mount["mountPath"] for mount in compiled.kubernetes(node)["pvcMount"]] == ["/data"]


def test_training_waits_for_the_verdict_on_the_data(compiled: Compiled):
    assert "ExampleValidator" in compiled.tasks["Trainer"]["dependentTasks"]


def test_nothing_is_pushed_before_it_has_run(compiled: Compiled):
    assert ("infra_blessing", "InfraValidator", "blessing") in compiled.edges()["Pusher"]
    assert ("evaluation", "Evaluator", "evaluation") in compiled.edges()["InfraValidator"]


DATAFLOW = {
    "runner": "DataflowRunner",
    "args": ["--project=team", "--region=europe-west4", "--temp_location=gs://bucket/temp"],
}


def test_files_that_the_workers_of_dataflow_do_not_have_are_refused(plain: PipelineConfig, tmp_path: Path):
    says = refusal(plain, "vertex", {"beam": DATAFLOW}, tmp_path)
    assert "cluster.root=gs://bucket/root: nodes see a bucket as a folder, but workers of Dataflow do not" in says
    mounted = {"beam": DATAFLOW, "cluster": {"root": "/mnt/root"}, "source": {"path": "s3://images"}}
    assert "source.path=s3://images: nodes see" in refusal(plain, "kubeflow", mounted, tmp_path)
    mounted["source"] = {}
    assert Compiled(plain.override(mounted), "kubeflow", tmp_path).tasks


def test_beam_steps_go_to_dataflow_by_config(plain: PipelineConfig, tmp_path: Path):
    compiled = Compiled(plain.override({"beam": {**DATAFLOW, "workers_see_buckets": True}}), "vertex", tmp_path)
    for node in ("CocoExampleGen", "StatisticsGen", "Evaluator"):
        words = compiled.container(node)["args"]
        assert {"--runner=DataflowRunner", "--sdk_container_image=team/image:1", *DATAFLOW["args"]} <= set(words)


@pytest.mark.parametrize(
    ("asked", "training", "pools"),
    [
        (
            {"gpus": 2, "gpu_type": "nvidia-l4"},
            {"strategy": "gpus"},
            [("g2-standard-24", {"accelerator_type": "NVIDIA_L4", "accelerator_count": 2}, 1)],
        ),
        (
            {"gpus": 1, "cpu": 12, "workers": 4},
            {"strategy": "workers"},
            [("n1-standard-16", {"accelerator_type": "NVIDIA_TESLA_T4", "accelerator_count": 1}, n) for n in (1, 3)],
        ),
        (
            {"tpu": {"generation": "v5e", "topology": "2x4"}},
            {"strategy": "tpu"},
            [("ct5lp-hightpu-8t", {"tpu_topology": "2x4"}, 1)],
        ),
        (
            {"gpus": 8, "gpu_type": "nvidia-a100-80gb", "machine_type": "a2-ultragpu-8g"},
            {"strategy": "gpus"},
            [("a2-ultragpu-8g", {"accelerator_type": "NVIDIA_A100_80GB", "accelerator_count": 8}, 1)],
        ),
    ],
    ids=["gpus", "workers", "tpu", "named"],
)
def test_on_vertex_the_trainer_is_a_custom_job(
    asked: dict, training: dict, pools: list, plain: PipelineConfig, tmp_path: Path
):
    cluster = {
        "project": "team",
        "region": "europe-west4",
        "service_account": "runner@team",
        "secrets": CLUSTER["secrets"],
        "resources": {"Trainer": asked},
    }
    changed = plain.override({"cluster": cluster, "detector": {"training": training}})
    compiled = Compiled(changed, "vertex", tmp_path)
    args = compiled.container("Trainer")["args"]
    assert args[args.index("--executor_class_path") + 1] == "components.trainer.custom_job.Executor"
    assert compiled.resources("Trainer") == {}, "the node only waits"
    settings = compiled.custom_config()
    assert settings["ai_platform_enable_vertex"] is True
    assert settings["ai_platform_vertex_region"] == "europe-west4"
    job = settings["ai_platform_training_args"]
    secret = {"MLFLOW_TRACKING_PASSWORD": "projects/team/secrets/password/versions/latest"}
    assert job["project"] == "team"
    assert job["job_spec"]["service_account"] == "runner@team"
    assert job["job_spec"]["worker_pool_specs"] == [
        {
            "machine_spec": {"machine_type": machine, **accelerators},
            "replica_count": count,
            "container_spec": {"image_uri": "team/image:1", "env": [{"name": SECRETS, "value": json.dumps(secret)}]},
        }
        for machine, accelerators, count in pools
    ]


def refusal(config: PipelineConfig, engine: str, changes: dict[str, Any], folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Compiled(config.override(changes), engine, folder)
    assert not list(folder.iterdir())
    return str(caught.value)


@pytest.mark.parametrize(
    ("engine", "cluster", "says"),
    [
        ("kubeflow", {"resources": {"Triner": {"cpu": 1}}}, "did you mean Trainer or "),
        ("vertex", {"resources": {"Tuner": {"cpu": 1}}}, "the nodes are CocoExampleGen, "),
        ("vertex", {"resources": {"Trainer": {"gpus": 1}}}, "name Google Cloud's project"),
        ("kubeflow", {"resources": {"Trainer": {"gpus": 2}}}, "strategy=None: would not use what"),
        ("kubeflow", {"resources": {"Trainer": {"machine_type": "n1-standard-4"}}}, "a node of Kubeflow is one pod"),
        ("vertex", {"project": "t", "resources": {"Trainer": {"gpus": 1, "gpu_type": "x"}}}, "name it in machine_type"),
        ("vertex", {"resources": {"Evaluator": {"tpu": {}}}}, "gives TPUs to custom jobs"),
        ("vertex", {"resources": {"Evaluator": {"node_selector": {"a": "b"}}}}, "no nodes to select"),
        (
            "vertex",
            {"project": "t", "resources": {"Trainer": {"gpus": 1}}, "secrets": MOUNTED},
            "mounts no secrets; give",
        ),
        ("vertex", {"volumes": [{"claim": "c", "mount_path": "/c"}]}, "mounts no volumes"),
        ("kubeflow", {"checkpoints": "/c", "volumes": [CLAIM]}, "checkpoints=/c: lies in none of cluster.volumes"),
        ("vertex", {"checkpoints": "/kept"}, "checkpoints=/kept: goes with the node on Vertex AI"),
        ("vertex", {"secrets": MOUNTED}, "mounts no secrets; give s variables"),
        ("vertex", {"secrets": [{"name": "s", "variables": {"a": "A"}}]}, "secrets are in Secret Manager"),
    ],
)
def test_what_an_engine_cannot_give_is_refused(
    engine: str, cluster: dict, says: str, plain: PipelineConfig, tmp_path: Path
):
    assert says in refusal(plain, engine, {"cluster": cluster}, tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [("a" * 59, "has 59 characters; clusters take 58, shorten it"), ("digits-turn", "ends in -turn, as the turns of")],
)
def test_names_that_clusters_do_not_take_are_refused(name: str, says: str, plain: PipelineConfig, tmp_path: Path):
    assert says in refusal(plain, "kubeflow", {"name": name}, tmp_path)


def test_other_files_than_the_client_reads_are_refused(plain: PipelineConfig, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"vertex reads \.json files"):
        compile_pipeline(plain, "vertex", tmp_path / "demo.yaml")
