from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from efficientdet.bundle import verify_manifest
from efficientdet.errors import RegistryError
from efficientdet.registry import open_registry
from efficientdet.registry.mlflow_client import Location
from tests.efficientdet.registry.mlflow_server import MlflowServer
from tests.free_port import free_port

WriteBundle = Callable[[str], Path]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server with its files in `server/files`."""
    started = MlflowServer(tmp_path / "server")
    yield started.uri
    started.close()


@pytest.mark.slow
def test_a_server_serves_as_the_folder_does(
    server: str, tmp_path: Path, write_bundle: WriteBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    registry = open_registry(server + "/")
    assert registry.versions() == []
    first = registry.register(write_bundle("one"), "digits", metrics={"float": {"AP": 0.5}}, tags={"data": "f00"})
    registry.set_alias("digits", "champion", first.version)
    assert registry.register(write_bundle("one"), "digits").version == first.version
    assert registry.register(write_bundle("two"), "digits").version == "2"
    assert [(v.version, v.aliases) for v in registry.versions()] == [("2", ()), ("1", ("champion",))]
    assert registry.get("digits").metrics == {"float": {"AP": 0.5}}
    registry.fetch("digits", "champion", tmp_path / "bundle")
    assert len(verify_manifest(tmp_path / "bundle")["files"]) == 5
    stored = next(p for p in (tmp_path / "server/files").rglob("model_int8.tflite") if p.read_text() == "one" * 100)
    stored.write_text("two" * 100)
    with pytest.raises(RegistryError, match=r"model_int8.tflite .* differs"):
        registry.fetch("digits", "champion", tmp_path / "again")
    assert not list((tmp_path / "cwd").iterdir())


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(RegistryError, match=r"127.0.0.1:\d+: listing the models failed: the server cannot be reached"):
        open_registry(f"http://127.0.0.1:{free_port()}").versions()
    assert time.monotonic() - start < 30


def test_a_local_registry_stays_in_its_folder(
    tmp_path: Path, write_bundle: WriteBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("registry", f"sqlite:///{tmp_path}/team/registry.db"):
        open_registry(uri).register(write_bundle("one"), "digits")
    assert {path.name for path in tmp_path.iterdir()} == {"registry", "team"}
    assert {path.name for path in (tmp_path / "registry").iterdir()} == {"mlflow.db", "artifacts"}
    assert {path.name for path in (tmp_path / "team").iterdir()} == {"registry.db", "artifacts"}


@pytest.mark.parametrize("uri", ["", "gs://bucket", "sqlite://relative.db", "sqlite:///", "http://", "file:///tmp/x"])
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(RegistryError, match=r"not a folder, sqlite:////abs/path/registry.db or http"):
        Location.parse(uri)
