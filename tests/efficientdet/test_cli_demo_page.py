"""`efficientdet demo-page`: what it refuses; `demo_page/test_page.py` looks at what it serves."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from efficientdet.cli import cli
from efficientdet.demo_page.tasks_vision import VERSION


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command, with the library at hand."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / f"cache/efficientdet/tasks-vision-{VERSION}").mkdir(parents=True)
    return lambda *words: CliRunner().invoke(cli, ["demo-page", *(str(word) for word in words)])


def test_a_model_that_is_not_there(run: Callable[..., Result], tmp_path: Path):
    answer = run(f"--model={tmp_path}/none.tflite")
    assert str(answer.exception).endswith("no such file; give the path of a model, or the name of a registered one")
    answer = run(f"--model={tmp_path}")
    assert "holds no detector.weights.h5, saved_model.pb, .tflite or .pb" in str(answer.exception)
    answer = run("--model=pets@champion", f"--registry={tmp_path}/registry")
    assert "pets" in str(answer.exception)
    assert answer.exit_code == 1


def test_the_model_is_the_one_that_infer_finds(run: Callable[..., Result], tiny_export: Any, tmp_path: Path):
    answer = run(f"--model={tiny_export.folder}")
    says = f"{tiny_export.folder}/Format-Serving: is a SavedModel, and browsers run TFLite files; give one"
    assert str(answer.exception).startswith(says)
    (tmp_path / "pulled").mkdir()
    shutil.copy(tiny_export.folder / "model_int8.tflite", tmp_path / "pulled/model.tflite")
    (tmp_path / "notes").mkdir()
    answer = run(f"--model={tmp_path / 'pulled'}", f"--images={tmp_path}/notes", "--port=0")
    assert "notes: holds no picture" in str(answer.exception), "the model was found"


def test_a_port_that_is_not_for_everybody(
    run: Callable[..., Result], tiny_export: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("http.server.HTTPServer.server_bind", refuse)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setenv("PATH", "")  # so that nothing can be fetched either: the port comes first
    answer = run(f"--model={tiny_export.folder}/model_int8.tflite", "--port=80")
    assert str(answer.exception) == "--port=80: cannot be used (Permission denied); give another, or 0"


def test_a_port_that_is_taken(run: Callable[..., Result], tiny_export: Any):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run(f"--model={tiny_export.folder}/model_int8.tflite", f"--port={port}")
    assert str(answer.exception) == f"--port={port}: cannot be used (Address already in use); give another, or 0"


def test_a_folder_without_pictures(run: Callable[..., Result], tiny_export: Any, tmp_path: Path):
    (tmp_path / "notes").mkdir()
    answer = run(f"--model={tiny_export.folder}/model_int8.tflite", f"--images={tmp_path}/notes")
    assert "notes: holds no picture that browsers show" in str(answer.exception)
