"""The command that prints how the image is built."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from tests.build_context import REPOSITORY, copy_context


@pytest.fixture
def printed(config_file: Path):
    """Runs the command for a config whose Trainer asks for a GPU and whose image is team/image:1."""

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, ["image", "--config", str(config_file), *words])

    return invoke


def test_it_prints_a_build_and_a_push(printed):
    result = printed()
    assert (result.exit_code, result.stderr) == (0, "")
    build, push = map(shlex.split, result.stdout.splitlines())
    assert build[:6] == ["docker", "build", "--platform", "linux/amd64", "--tag", "team/image:1"]
    assert "VARIANT=gpu" in build
    assert build[-1] == str(REPOSITORY)
    assert push == ["docker", "push", "team/image:1"]


def test_without_gpus_it_is_the_small_variant_upon_the_named_base(printed):
    result = printed("--set", "cluster.resources.Trainer.gpus=0", "--tool", "podman", "--base", "team/python:3.11")
    [build, push] = map(shlex.split, result.stdout.splitlines())
    assert (build[0], push[0]) == ("podman", "podman")
    assert {"VARIANT=cpu", "BASE=team/python:3.11"} <= set(build)
    assert not any(word.startswith("EXTRAS=") for word in build)


def test_a_format_brings_what_writes_it(printed):
    formats = "[saved_model, tflite_int8, onnx]"
    result = printed("--set", f"detector.export.formats={formats}")
    assert "EXTRAS=pipeline,imagenet,vertex,video,onnx" in shlex.split(result.stdout.splitlines()[0])


def test_an_image_of_no_registry_is_not_pushed(printed):
    result = printed("--set", "cluster.image=efficientdet-pipeline:latest")
    assert [shlex.split(line)[1] for line in result.stdout.splitlines()] == ["build"]
    assert "names no registry" in result.stderr


def test_a_tpu_is_not_promised(printed):
    result = printed("--set", "cluster.resources.Trainer={gpus: 0, tpu: {topology: 2x4}}")
    assert result.exit_code == 0
    assert "cluster.resources.Trainer.tpu: the image drives no TPU" in result.stderr


def test_a_digest_is_refused(printed):
    result = printed("--set", "cluster.image=team/image@sha256:12")
    assert result.exit_code == 2
    assert "a digest names what is built already" in result.stderr


def test_a_folder_without_the_source_is_refused(printed, tmp_path: Path):
    result = printed("--context", str(tmp_path))
    assert result.exit_code == 2
    assert f"{tmp_path}: has no Dockerfile" in result.stderr
    assert "--context" in result.stderr


def test_the_source_of_another_version_is_refused(printed, tmp_path: Path):
    copy_context(tmp_path)
    package = tmp_path / "efficientdet/__init__.py"
    package.write_text(package.read_text().replace('__version__ = "', '__version__ = "9'))
    result = printed("--context", str(tmp_path))
    assert result.exit_code == 2
    assert "is the source of version 90.1.0" in result.stderr
