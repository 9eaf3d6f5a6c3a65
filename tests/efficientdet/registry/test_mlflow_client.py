from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from efficientdet.bundle import TFLITE_FILE, verify_manifest
from efficientdet.errors import RegistryError, UnreachableError
from efficientdet.registry import Registry, open_registry
from efficientdet.registry.mlflow_client import Location
from tests.efficientdet.registry.mlflow_server import MlflowServer
from tests.free_port import free_port

WriteBundle = Callable[[str], Path]


@pytest.mark.slow
def test_a_server_serves_as_the_folder_does(
    guarded: MlflowServer, tmp_path: Path, write_bundle: WriteBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    registry = open_registry(guarded.uri + "/")
    assert registry.versions("served") == []
    bundle = write_bundle("served")
    first = registry.register(bundle, "served", metrics={"float": {"AP": 0.5}}, tags={"data": "f00"})
    registry.set_alias("served", "champion", first.version)
    assert registry.register(write_bundle("served"), "served").version == first.version
    assert registry.register(write_bundle("two"), "served").version == "2"
    assert [(v.version, v.aliases) for v in registry.versions("served")] == [("2", ()), ("1", ("champion",))]
    assert registry.get("served").metrics == {"float": {"AP": 0.5}}
    registry.fetch("served", "champion", tmp_path / "bundle")
    assert len(verify_manifest(tmp_path / "bundle")["files"]) == 5
    [stored] = [path for path in guarded.files.rglob(TFLITE_FILE) if path.read_bytes() == b"served" * 100]
    stored.write_text("two" * 100)
    with pytest.raises(RegistryError, match=r"model_int8.tflite .* differs"):
        registry.fetch("served", "champion", tmp_path / "again")
    assert not list((tmp_path / "cwd").iterdir())


@contextlib.contextmanager
def mute() -> Iterator[tuple[str, list[object]]]:
    """The address of a server that hangs up on everybody, and who came."""
    came = list[object]()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, who = listening.accept()
                    came.append(who)
                    connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", came
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_server_that_is_not_there_is_said_at_once(write_bundle: WriteBundle) -> None:
    nobody = open_registry(f"http://127.0.0.1:{free_port()}")
    for ask in (nobody.versions, lambda: nobody.register(write_bundle("one"), "digits")):
        with pytest.raises(UnreachableError) as told:
            ask()
        assert str(told.value).startswith(f"{nobody.uri}: listing the models failed: the server cannot be reached")
        assert str(told.value).count("failed") == 1
    with mute() as (uri, came):
        with pytest.raises(UnreachableError, match="the server cannot be reached"):
            open_registry(uri).versions()
        assert len(came) == 1, "it is asked once, not as often as MLflow would"


def test_a_local_registry_stays_in_its_folder(
    tmp_path: Path,
    write_bundle: WriteBundle,
    monkeypatch: pytest.MonkeyPatch,
    new_registry: Callable[[Path], Registry],
) -> None:
    new_registry(tmp_path / "registry")
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


@pytest.mark.parametrize("user", ["ann:s3cret", "s3cret", "ann:s3/cret", "ann:s3@cret"])
def test_a_password_in_an_address_is_refused_and_not_repeated(user: str) -> None:
    with pytest.raises(RegistryError) as told:
        open_registry(f"https://{user}@models.example.org")
    assert str(told.value).startswith(
        "registry 'https://…@models.example.org': an address with a user name or password"
    )
    assert "MLFLOW_TRACKING_PASSWORD" in str(told.value)
    assert "cret" not in str(told.value)


def test_a_folder_of_nobody_is_refused() -> None:
    with pytest.raises(RegistryError, match="there is no such user"):
        open_registry("~nobody-of-this-name/registry")


def test_a_folder_may_have_an_at_sign(tmp_path: Path) -> None:
    for uri in (f"{tmp_path}/team@work", f"sqlite:///{tmp_path}/team@work/registry.db"):
        assert open_registry(uri).versions() == []
