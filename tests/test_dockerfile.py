"""The image holds what a compiled specification calls: packages, modules, commands, every version pinned."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from importlib.metadata import requires
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from efficientdet.data.demo import write_demo_data
from pipeline.cli import main
from pipeline.compiled_spec import Engine
from pipeline.config import load_config
from pipeline.image import EXTRAS
from pipeline.kubeflow_runner import compile_pipeline
from pipeline.turn_spec import compile_turn
from tests.build_context import REPOSITORY, copy_context, let_through

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
PACKAGES = ("components", "efficientdet", "pipeline", "schemas")
# Not the artifacts' titles, as tfx.Examples.
MODULE = re.compile(rf"\b(?:(?:{'|'.join(PACKAGES)})|tfx\.\w+)(?:\.\w+)+")
CLUSTER = {
    "root": "gs://bucket/root",
    "image": "team/image:1",
    "project": "team",
    "report_to": "https://example.org/hook",
    "secrets": [{"name": "mlflow", "variables": {"password": "MLFLOW_TRACKING_PASSWORD"}}],
    "resources": {"Trainer": {"gpus": 1}},
}


class Wheel:
    """What is installed into the image, made of what its build is shown."""

    def __init__(self, path: Path) -> None:
        with ZipFile(path) as archive:
            self.files = set(archive.namelist())
            read = {Path(name).name: archive.read(name).decode() for name in self.files if ".dist-info/" in name}
        self.metadata: Message = Parser().parsestr(read["METADATA"])
        self.entry_points = read["entry_points.txt"]

    def needs(self, extra: str) -> list[Requirement]:
        """The requirements with an extra."""
        every = [Requirement(line) for line in self.metadata.get_all("Requires-Dist", [])]
        return [each for each in every if each.marker is None or each.marker.evaluate({"extra": extra})]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "context").mkdir()
    copy_context(folder / "context")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(folder / "context")], check=True)
    [path] = folder.glob("*.whl")
    return Wheel(path)


@pytest.fixture(scope="module", params=["kubeflow", "vertex"])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The first document of what is written for an engine, with everything that a cluster is asked for."""
    folder = tmp_path_factory.mktemp(request.param)
    write_demo_data(folder / "data", images={"train": 2, "eval": 1}, size=(96, 96))
    demo = load_config("pipeline/configs/demo.yaml", [f"source.path={folder / 'data'}"])
    output = folder / {"kubeflow": "spec.yaml", "vertex": "spec.json"}[request.param]
    asked = {"cluster": CLUSTER, "tuning": {"trials": 2}, "registry": {"uri": "https://models.example.org"}}
    compile_pipeline(demo.override(asked), request.param, output)
    return next(yaml.safe_load_all(output.read_text()))


def strings(value: Any) -> Iterator[str]:
    """Every string of a document, and of the documents that are written in strings."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value


def test_every_module_that_a_specification_names_is_in_the_image(compiled: Any, wheel: Wheel):
    named = {name for text in strings(compiled) for name in MODULE.findall(text)}
    assert {"pipeline.node", "components.evaluator.executor.Executor"} <= named
    assert [name for name in sorted(named) if not is_installed(name, wheel)] == []


def test_a_specification_names_no_file_of_the_tree_that_compiled_it(compiled: Any):
    assert [text for text in strings(compiled) if str(REPOSITORY) in text or sys.prefix in text] == []


def is_installed(name: str, wheel: Wheel) -> bool:
    """Whether a module, or something of one, is there under that name."""
    resolve_name(name)  # ends the test with what is missing
    parts = name.split(".")
    heads = ["/".join(parts[:count]) for count in (len(parts), len(parts) - 1) if count > 1]
    return parts[0] == "tfx" or any({f"{head}.py", f"{head}/__init__.py"} & wheel.files for head in heads)


def test_every_container_starts_what_the_image_has(compiled: Any):
    spec = compiled.get("pipelineSpec", compiled)
    executors = spec["deploymentSpec"]["executors"].values()
    assert {tuple(each["container"]["command"][:3]) for each in executors} == {("python", "-m", "pipeline.node")}
    assert "ENV PATH=/opt/efficientdet/bin:$PATH" in DOCKERFILE
    assert "ENTRYPOINT" not in DOCKERFILE, "Kubernetes would put it in front of nothing, docker in front of commands"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("useradd"), reason="adds a user, in a folder of its own")
def test_the_user_is_added_where_the_base_has_one_of_that_number(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("ubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n")
    (tmp_path / "etc/group").write_text("ubuntu:x:1000:\n")
    [options] = re.findall("^RUN useradd (.*)$", DOCKERFILE, re.MULTILINE)
    subprocess.run(["useradd", "--prefix", str(tmp_path), *options.split()], check=True)
    [home] = re.findall(r"HOME=(\S+)", DOCKERFILE)
    assert tmp_path.joinpath(home.removeprefix("/")).stat().st_uid == 1000
    assert f"USER 1000\nWORKDIR {home}\n" in DOCKERFILE


@pytest.mark.parametrize("engine", ["kubeflow", "vertex"])
def test_the_turns_of_a_schedule_start_what_the_image_has(engine: Engine, wheel: Wheel):
    config = load_config("pipeline/configs/demo.yaml").override({"cluster": CLUSTER})
    [container] = compile_turn(config, engine).containers.values()
    assert container["command"][:3] == ["python", "-m", "pipeline"]
    assert "pipeline/__main__.py" in wheel.files
    assert CliRunner().invoke(main, [*container["command"][3:], "--help"]).exit_code == 0


def test_the_wheel_holds_every_file_of_the_packages(wheel: Wheel):
    here = (path for name in PACKAGES for path in (REPOSITORY / name).rglob("*") if path.is_file())
    kept = {str(path.relative_to(REPOSITORY)) for path in here if "__pycache__" not in path.parts}
    assert {name for name in wheel.files if ".dist-info/" not in name} == kept
    assert set(PACKAGES) <= set(let_through())


def test_the_commands_are_installed(wheel: Wheel):
    assert "efficientdet=efficientdet.cli:main" in wheel.entry_points.replace(" ", "")
    assert "efficientdet-pipeline=pipeline.cli:main" in wheel.entry_points.replace(" ", "")
    assert json.loads(DOCKERFILE.rpartition("CMD ")[2])[0] == "efficientdet-pipeline"


def test_whatever_the_image_installs_is_pinned(wheel: Wheel):
    pinned = {line.partition("==")[0] for line in (REPOSITORY / "constraints.txt").read_text().split()}
    names = {canonicalize_name(name) for name in pinned}
    assert f"ARG EXTRAS={','.join(EXTRAS)}\n" in DOCKERFILE
    assert set(EXTRAS) <= set(wheel.metadata.get_all("Provides-Extra", []))
    needed = {canonicalize_name(each.name) for extra in [*EXTRAS, "gpu"] for each in wheel.needs(extra)}
    assert {name for name in needed if name not in names} == set()
    assert {"uv", "setuptools"} <= names


def test_cuda_is_pinned_by_tensorflow(wheel: Wheel):
    [gpu] = [each for each in wheel.needs("gpu") if each.name == "tensorflow"]
    assert gpu.extras == {"and-cuda"}
    every = [Requirement(line) for line in requires("tensorflow") or []]
    cuda = [each for each in every if each.marker and "and-cuda" in str(each.marker)]
    assert "nvidia-cudnn-cu12" in {each.name for each in cuda}
    assert {specifier.operator for each in cuda for specifier in each.specifier} == {"=="}
