"""The compiled specification is the very pipeline that runs locally."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from efficientdet.data.demo import write_demo_data
from efficientdet.errors import ConfigError
from pipeline.config import PipelineConfig, load_config
from pipeline.fingerprint import data_fingerprint
from pipeline.kubeflow_runner import compile_pipeline
from pipeline.pipeline import create_pipeline

RESOURCES = {
    "Trainer": {"cpu": 8, "memory_gb": 30, "gpus": 2, "gpu_type": "nvidia-l4"},
    "Evaluator": {"cpu": 4, "memory_gb": 16},
}
TUNED = {
    "tuning": {"trials": 2},
    "cluster": {"resources": {"Tuner": {"cpu": 6, "memory_gb": 20, "gpus": 1, "gpu_type": "nvidia-l4"}}},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    data = tmp_path_factory.mktemp("kubeflow") / "data"
    write_demo_data(data, images={"train": 2, "eval": 1}, size=(96, 96))
    demo = load_config("pipeline/configs/demo.yaml", [f"source.path={data}"])
    return demo.override({"cluster": {"root": "gs://bucket/root", "image": "team/image:1", "resources": RESOURCES}})


ENGINES = ("kubeflow", "vertex")


@pytest.fixture(scope="module", params=ENGINES)
def spec(request: pytest.FixtureRequest, config: PipelineConfig, tmp_path_factory: pytest.TempPathFactory) -> dict:
    return compiled(config, request.param, tmp_path_factory.mktemp(request.param))


def compiled(config: PipelineConfig, engine: str, folder: Path) -> dict:
    """The pipeline's specification, as written for an engine."""
    suffix = {"kubeflow": "yaml", "vertex": "json"}[engine]
    path = folder / f"demo.{suffix}"
    compile_pipeline(config, engine, path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return yaml.safe_load(path.read_text()) if suffix == "yaml" else json.loads(path.read_text())["pipelineSpec"]


def local_edges(config: PipelineConfig) -> dict[str, set[tuple[str, str, str]]]:
    """Node id to its (input, producer, output), as LocalDagRunner would run them."""
    pipeline = create_pipeline(config, config.cluster.root, data_fingerprint(config.source), "@champion")
    return {
        node.id: {(key, channel.producer_component_id, channel.output_key) for key, channel in node.inputs.items()}
        for node in pipeline.components
    }


def edges(spec: dict) -> dict[str, set[tuple[str, str, str]]]:
    """The same of a specification."""
    return {
        name: {
            (key, source["taskOutputArtifact"]["producerTask"], source["taskOutputArtifact"]["outputArtifactKey"])
            for key, source in task.get("inputs", {}).get("artifacts", {}).items()
        }
        for name, task in spec["root"]["dag"]["tasks"].items()
    }


def container(spec: dict, node: str) -> dict:
    """What a node runs in."""
    component = spec["components"][spec["root"]["dag"]["tasks"][node]["componentRef"]["name"]]
    return spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]


def test_nodes_and_edges_are_those_of_the_local_run(spec: dict, config: PipelineConfig):
    assert edges(spec) == local_edges(config)
    assert len(edges(spec)) == 9


@pytest.mark.parametrize("engine", ENGINES)
def test_a_search_is_compiled_with_its_resources(engine: str, config: PipelineConfig, tmp_path: Path):
    tuned = config.override(TUNED)
    spec = compiled(tuned, engine, tmp_path)
    assert edges(spec) == local_edges(tuned)
    assert ("hyperparameters", "Tuner", "best_hyperparameters") in edges(spec)["Trainer"]
    assert len(edges(spec)) == 10
    tuner = container(spec, "Tuner")
    assert (tuner["resources"]["cpuLimit"], tuner["resources"]["memoryLimit"]) == (6, 20)
    assert int(tuner["resources"]["accelerator"]["count"]) == 1
    assert "components.tuner.tuner_fn" in json.dumps(spec)


def test_resources_are_those_configured(spec: dict):
    trainer = container(spec, "Trainer")["resources"]
    assert (trainer["cpuLimit"], trainer["memoryLimit"]) == (8, 30)
    assert (trainer["accelerator"]["type"], int(trainer["accelerator"]["count"])) == ("nvidia-l4", 2)
    assert container(spec, "Evaluator")["resources"] == {"cpuLimit": 4.0, "memoryLimit": 16.0}
    assert "resources" not in container(spec, "Pusher")
    assert {container(spec, node)["image"] for node in ("Trainer", "Pusher", "CocoExampleGen")} == {"team/image:1"}


def test_our_executors_are_named_in_the_containers(spec: dict):
    text = json.dumps(spec["deploymentSpec"])
    checks = ("statistics_gen", "example_validator", "evaluator", "infra_validator")
    for name in ("example_gen", "exporter", "pusher", *checks):
        assert f"components.{name}." in text


def test_training_waits_for_the_verdict_on_the_data(spec: dict):
    assert "ExampleValidator" in spec["root"]["dag"]["tasks"]["Trainer"]["dependentTasks"]


def test_nothing_is_pushed_before_it_has_run(spec: dict):
    assert ("infra_blessing", "InfraValidator", "blessing") in edges(spec)["Pusher"]
    assert ("evaluation", "Evaluator", "evaluation") in edges(spec)["InfraValidator"]


def test_wrong_outputs_and_nodes_are_refused(config: PipelineConfig, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"vertex reads \.json files"):
        compile_pipeline(config, "vertex", tmp_path / "demo.yaml")
    wrong = config.override({"cluster": {"resources": {"Tuner": {"cpu": 1}}}})
    with pytest.raises(ConfigError, match="there is no such node; the nodes are CocoExampleGen"):
        compile_pipeline(wrong, "vertex", tmp_path / "demo.json")
