"""The image is built for real, and the compiled specification runs in it, a container for each task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from pipeline.config import PipelineConfig
from pipeline.image import commands
from tests.build_context import copy_context
from tests.pipeline import podman
from tests.pipeline.executed_spec import EVERY_TASK, REPOSITORY, Executed, execute

pytestmark = [pytest.mark.container, pytest.mark.slow]

LEFTOVERS = ("*.whl", "*/bin/uv", "*/bin/g++", "*/.cache/*", "/var/lib/apt/lists/*Packages*", "/source*", "/wheel*")
IMAGE = "localhost/efficientdet-pipeline:test"
PRODUCT = "/opt/efficientdet/lib/python3.11/site-packages/pipeline"


def canonical(pin: str) -> str:
    """NAME==VERSION with the name as indexes compare it."""
    name, version = pin.split("==")
    return f"{canonicalize_name(name)}=={version}"


def build(config: PipelineConfig, tree: Path, image: str, log: Path) -> str:
    """The image that the printed command builds."""
    words = commands(config.override({"cluster": {"image": image}}), tree, "podman", podman.BASE)[0]
    with log.open("a") as screen:
        podman.build(words, screen)
    return image


@pytest.fixture(scope="module")
def config(coco_job) -> PipelineConfig:
    return PipelineConfig.parse(coco_job.config)


@pytest.fixture(scope="module")
def image(config: PipelineConfig, coco_job) -> str:
    """The image of this source tree."""
    if reason := podman.missing():
        pytest.skip(reason)
    return build(config, REPOSITORY, IMAGE, coco_job.folder / "build.log")


def test_its_user_is_nobody_special_and_has_the_commands(image: str):
    assert podman.output(image, "id", "-u").strip() == "1000"
    assert "Commands:" in podman.output(image)
    assert "pull" in podman.output(image, "efficientdet", "--help")
    assert podman.output(image, "sh", "-c", "touch here && pwd").strip() == "/home/efficientdet"


def test_it_holds_the_pinned_packages_and_no_leftovers(image: str):
    told = "from importlib.metadata import distributions as d; print(*{f'{e.name}=={e.version}' for e in d()})"
    pins = {canonical(line) for line in (REPOSITORY / "constraints.txt").read_text().split()}
    installed = {canonical(line) for line in podman.output(image, "python", "-c", told).split()}
    own = {name for name in installed if name.startswith("efficientdet-pipeline==")}
    assert installed - pins == own
    assert len(own) == 1
    left = [word for pattern in LEFTOVERS for word in ("-o", "-path", pattern)][1:]
    found = podman.output(image, "sh", "-c", 'find / -xdev "$@" 2> /dev/null || true', "find", *left).split()
    assert [path for path in found if "ensurepip" not in path] == [], "but for the pip that Python itself brings"


def test_a_change_of_code_installs_no_dependencies_again(image: str, config: PipelineConfig, tmp_path: Path):
    copy_context(tmp_path)
    with (tmp_path / "pipeline/node.py").open("a") as module:
        module.write("CHANGED = True\n")
    changed = build(config, tmp_path, f"{IMAGE}-changed", tmp_path / "build.log")
    before, after = podman.layers(image), podman.layers(changed)
    assert before[:-1] == after[:-1], "all but the product's own"
    assert before[-1] != after[-1]
    assert "CHANGED" in podman.output(changed, "cat", f"{PRODUCT}/node.py")


@pytest.fixture(scope="module")
def executed(image: str, config: PipelineConfig, coco_job, tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """A run as Vertex AI's, whose containers are given data and root, but no network."""
    root = tmp_path_factory.mktemp("containers")
    root.chmod(0o777)
    mounts = [word for folder in (root, coco_job.folder / "data") for word in ("--mount", str(folder))]
    return execute(config, "vertex", root, mounts, image)


def test_every_task_succeeds_in_a_container(executed: Executed):
    assert executed.states == dict.fromkeys(EVERY_TASK, "SUCCEEDED")
    assert json.loads(executed.outcome.read_text())["state"] == "SUCCEEDED"


def test_its_metrics_equal_those_of_the_local_run(executed: Executed, coco_job):
    code, local = coco_job.run()
    assert (code, local["outcome"]) == (0, "BLESSED"), local["reasons"]
    judgement = executed.read("Evaluator/*/blessing/blessing.json")
    assert judgement["metrics"] == local["metrics"]
    assert judgement["outcome"] == "BLESSED"


def test_it_ends_with_a_registered_model(executed: Executed, efficientdet):
    pushed = executed.read("Pusher/*/pushed_model/pushed.json")
    assert (pushed["name"], pushed["version"], pushed["alias"]) == ("tiny", "1", "champion")
    listed = json.loads(efficientdet("models", "--registry", str(executed.registry), "--json").stdout)
    assert [(model["name"], model["version"]) for model in listed] == [("tiny", "1")]
