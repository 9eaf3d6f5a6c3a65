"""`efficientdet pull` from a real server, as scripts call it: its exit codes, its cache, and without TensorFlow."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import NamedTuple

import pytest

from efficientdet.bundle import TFLITE_FILE, verify_manifest, write_manifest
from efficientdet.cli import main
from efficientdet.registry import open_registry
from tests.efficientdet.registry.mlflow_server import ADMIN, PASSWORD, MlflowServer
from tests.free_port import free_port

WriteBundle = Callable[[str], Path]
SIZE = 6_000_000
WITHOUT_TENSORFLOW = """
import sys
for name in ("tensorflow", "keras", "tfx"):
    sys.modules[name] = None
from efficientdet.cli import main
main()
"""


class Team(NamedTuple):
    """A server that asks for a password, with `digits` 1 (champion), whose model has SIZE bytes, and 2."""

    server: MlflowServer
    model: bytes

    def stored(self, content: bytes) -> Path:
        return next(path for path in self.server.files.rglob(TFLITE_FILE) if path.read_bytes() == content)


@pytest.fixture(scope="module")
def team(mlflow_server: MlflowServer, write_bundle: WriteBundle) -> Iterator[Team]:
    server = mlflow_server
    server.start()
    bundle, model = write_bundle("large"), os.urandom(SIZE)
    (bundle / TFLITE_FILE).write_bytes(model)
    write_manifest(bundle)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
        environment.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        registry = open_registry(server.uri)
        registry.register(bundle, "digits")
        registry.set_alias("digits", "champion", "1")
        registry.register(write_bundle("second"), "digits")
        yield Team(server, model)


class Ended(NamedTuple):
    """How the program ended."""

    returncode: object
    stderr: str


def pull(uri: str, *arguments: object, cache: Path, **environment: str) -> Ended:
    """The program in this process, which is spared another import of MLflow."""
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as stderr:
        patch.setattr(sys, "argv", ["efficientdet", "pull", *map(str, arguments), "--registry", uri])
        for name, value in {"EFFICIENTDET_CACHE": str(cache), **environment}.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    return Ended(ended.value.code, stderr.getvalue())


def assert_refused(result: Ended, code: int, said: str) -> None:
    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_every_failure_has_its_code_and_sentence(team: Team, tmp_path: Path) -> None:
    cache, uri, out = tmp_path / "cache", team.server.uri, tmp_path / "out"
    assert_refused(pull(uri, "digit", "--output", out, cache=cache), 4, "did you mean digits?")
    assert_refused(pull(uri, "digits", "--variant", "float16", "--output", out, cache=cache), 4, "holds no")
    nobody = f"http://127.0.0.1:{free_port()}"
    assert_refused(pull(nobody, "digits", "--output", out, cache=cache), 5, "the server cannot be reached")
    wrong = pull(uri, "digits", "--output", out, cache=cache, MLFLOW_TRACKING_PASSWORD="wrong")
    assert_refused(wrong, 8, "does not take the name and password")
    (tmp_path / "file").write_text("in the way")
    assert_refused(
        pull(uri, "digits@2", "--output", tmp_path / "file" / "out", cache=cache), 7, "check who may write there"
    )
    stored = team.stored(b"second" * 100)
    stored.write_bytes(b"SECOND" * 100)
    assert_refused(pull(uri, "digits@2", "--output", out, cache=tmp_path / "another"), 6, f"{TFLITE_FILE} of digits@2")
    stored.write_bytes(b"second" * 100)
    assert not out.exists()


@pytest.mark.slow
def test_without_a_cache_folder_it_goes_on_without(team: Team, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = pull(team.server.uri, "digits@2", "--output", tmp_path / "out", cache=tmp_path / "file" / "cache")
    assert result.returncode == 0
    assert result.stderr.startswith("note: ")
    assert "what is pulled is not cached" in result.stderr
    assert (tmp_path / "out/model.tflite").read_text() == "second" * 100


@pytest.mark.slow
def test_it_resumes_caches_and_works_offline(team: Team, tmp_path: Path) -> None:
    cache, uri = tmp_path / "cache", team.server.uri
    first = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, "pull", "digits", "--output", tmp_path / "first"],
        capture_output=True,
        text=True,
        env=os.environ | {"EFFICIENTDET_CACHE": str(cache), "EFFICIENTDET_REGISTRY": uri},
    )
    assert (first.returncode, first.stderr) == (0, "")
    assert (tmp_path / "first/model.tflite").read_bytes() == team.model
    # the download broke off: all but the last 1000 bytes are there
    [blob] = [path for path in (cache / "sha256").rglob("*") if path.is_file() and path.stat().st_size == SIZE]
    (cache / "partial" / blob.name).write_bytes(team.model[:-1000])
    blob.unlink()
    # a server that sent it anew would send what is stored now
    stored = team.stored(team.model)
    stored.write_bytes(b"?" * (SIZE - 1000) + team.model[-1000:])
    assert pull(uri, "digits", "--output", tmp_path / "second", cache=cache).returncode == 0
    assert (tmp_path / "second/model.tflite").read_bytes() == team.model
    stored.write_bytes(team.model)
    offline = pull(uri, "digits@1", "--offline", "--output", tmp_path / "third", cache=cache)
    assert (offline.returncode, offline.stderr) == (0, "")
    assert_refused(
        pull(uri, "digits@2", "--offline", "--output", tmp_path / "fourth", cache=cache), 5, "is not in the cache"
    )
    team.server.kill()
    away = pull(uri, "digits", "--output", tmp_path / "fifth", cache=cache)
    assert away.returncode == 0
    assert "going by what it said last" in away.stderr
    assert verify_manifest(tmp_path / "fifth") == verify_manifest(tmp_path / "first")
