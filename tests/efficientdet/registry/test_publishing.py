"""What goes wrong while a version is published: never a half version, never a lost one, never two of one number."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow.server.auth.client import AuthServiceClient

from efficientdet.bundle import TFLITE_FILE, verify_manifest, write_manifest
from efficientdet.errors import AccessError, NoRoomError, RegistryError
from efficientdet.registry import Registry, open_registry
from efficientdet.registry.mlflow_client import EXPERIMENT, Location
from efficientdet.registry.mlflow_files import PUBLISHING, runs_before
from tests.efficientdet.registry.child import exit_code, in_child, kill_at
from tests.efficientdet.registry.mlflow_server import ADMIN, PASSWORD, MlflowServer

WriteBundle = Callable[[str], Path]
NewRegistry = Callable[[Path], Registry]
PUBLISHERS = 20
NOT_ALLOWED = 77
UPLOADING = ".artifact.uploading"
"""In the name of a file that MLflow is about to rename into its place."""
MOMENTS = (
    ("INSERT INTO runs",),
    ("INSERT INTO runs", "COMMIT"),
    (UPLOADING,),
    (UPLOADING,) * 4,
    ("copyfile",),
    ("copyfile",) * 5,
    ("UPDATE runs",),
    ("INSERT INTO model_versions",),
    ("INSERT INTO model_version_tags",),
    ("INSERT INTO model_version_tags", "COMMIT"),
)
"""Steps of a publishing before its version is there; it is there with the commit of the last."""


def assert_whole(registry: Registry, folder: Path) -> list[str]:
    """Every visible version can be fetched, and is what its number alone has; returns the numbers."""
    versions = registry.versions("digits")
    for version in versions:
        registry.fetch("digits", version.version, folder / f"whole-{uuid4().hex}")
    numbers = [version.version for version in versions]
    assert max(Counter(numbers).values(), default=1) == 1
    return numbers


def large(bundle: Path, size: int = 8_000_000) -> Path:
    """The bundle with a model of that many bytes."""
    (bundle / TFLITE_FILE).write_bytes(os.urandom(size))
    write_manifest(bundle)
    return bundle


def publish_at_once(uri: Path, bundles: list[Path], answers: Path) -> list[str]:
    """The version that each bundle became, published by a process of its own."""

    def publish(bundle: Path, answer: Path) -> None:
        answer.write_text(open_registry(uri).register(bundle, "digits").version)

    answers.mkdir()
    written = [answers / str(number) for number in range(len(bundles))]
    children = [in_child(lambda pair=pair: publish(*pair)) for pair in zip(bundles, written, strict=True)]
    assert [exit_code(child) for child in children] == [0] * len(bundles)
    return [answer.read_text() for answer in written]


@pytest.mark.slow
def test_twenty_at_once(tmp_path: Path, write_bundle: WriteBundle, new_registry: NewRegistry) -> None:
    """Half of them publish the same model."""
    registry = new_registry(tmp_path / "registry")
    bundles = [write_bundle("common" if number % 2 else f"own {number}") for number in range(PUBLISHERS)]
    told = publish_at_once(Path(registry.uri), bundles, tmp_path / "answers")
    assert len(set(told[::2])) == PUBLISHERS // 2
    assert len(set(told[1::2])) == 1
    assert sorted(assert_whole(registry, tmp_path)) == sorted(set(told))


@pytest.mark.slow
@pytest.mark.usefixtures("registry")
def test_several_at_once_where_no_registry_is_yet(tmp_path: Path, write_bundle: WriteBundle) -> None:
    uri = tmp_path / "new" / "registry"
    told = publish_at_once(uri, [write_bundle(text) for text in ("common", "own", "common")], tmp_path / "answers")
    assert told[0] == told[2] != told[1]
    assert sorted(assert_whole(open_registry(uri), tmp_path)) == sorted(set(told))
    assert [path.name for path in uri.glob(".new-*")] == [], "what the slower ones made is gone"


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path, write_bundle: WriteBundle, new_registry: NewRegistry) -> None:
    registry, bundle = new_registry(tmp_path / "registry"), write_bundle("killed")
    registry.register(write_bundle("first"), "digits")

    def publish(*steps: str) -> None:
        kill_at(*steps)
        open_registry(registry.uri).register(bundle, "digits")

    for steps in MOMENTS:
        assert exit_code(in_child(lambda steps=steps: publish(*steps))) == -signal.SIGKILL, steps
        assert [version.version for version in registry.versions("digits")] == ["1"], steps
    assert exit_code(in_child(lambda: publish(*MOMENTS[-1], "SELECT"))) == -signal.SIGKILL
    assert assert_whole(registry, tmp_path) == ["2", "1"]
    assert registry.register(bundle, "digits").version == "2"


def test_a_full_disk_is_one_sentence_and_no_version(
    tmp_path: Path, write_bundle: WriteBundle, new_registry: NewRegistry
) -> None:
    registry, bundle = new_registry(tmp_path / "registry"), large(write_bundle("large"))
    registry.register(write_bundle("one"), "digits")

    def publish() -> None:
        """No file may grow beyond 5 MB, as on a disk that is full by then."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
        with pytest.raises(NoRoomError, match=r"registering digits failed .*File too large") as error:
            open_registry(registry.uri).register(bundle, "digits")
        assert "\n" not in str(error.value)

    assert exit_code(in_child(publish)) == 0
    assert assert_whole(registry, tmp_path) == ["1"]
    assert registry.register(bundle, "digits").version == "2"
    assert assert_whole(registry, tmp_path) == ["2", "1"]


def on_small_disk(folder: Path, megabytes: int) -> None:
    """Puts a disk of its own at `folder`, for this process alone; OSError where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, private = 0x00020000, (1 << 18) | (1 << 14)
    if (
        libc.unshare(new_mounts)
        or libc.mount(b"none", b"/", None, private, None)
        or libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, f"size={megabytes}m".encode())
    ):
        raise OSError(ctypes.get_errno(), "a disk cannot be mounted")


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk as Linux does")
@pytest.mark.usefixtures("registry")
def test_a_disk_of_its_own_that_is_full(tmp_path: Path, write_bundle: WriteBundle) -> None:
    small, medium = write_bundle("one"), large(write_bundle("medium"), 3_000_000)
    disk = tmp_path / "disk"
    disk.mkdir()

    def publish() -> None:
        try:
            on_small_disk(disk, 12)
        except OSError:
            os._exit(NOT_ALLOWED)
        registry = open_registry(disk / "registry")
        registry.register(small, "digits")
        filling = disk / "filling"
        room = os.statvfs(disk)
        filling.write_bytes(bytes(room.f_bavail * room.f_frsize - 1_000_000))
        with pytest.raises(NoRoomError, match="No space left on device"):
            registry.register(medium, "digits")
        with filling.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        with pytest.raises(NoRoomError, match=r"disk is full|No space left"):
            registry.set_alias("digits", "champion", "1")
        filling.unlink()
        assert [version.aliases for version in registry.versions()] == [()]
        assert registry.register(medium, "digits").version == "2"
        assert assert_whole(registry, disk) == ["2", "1"]

    code = exit_code(in_child(publish))
    if code == NOT_ALLOWED:
        pytest.skip("a disk cannot be mounted here")
    assert code == 0


@pytest.mark.slow
def test_a_server_that_dies_in_the_midst_of_an_upload(
    guarded: MlflowServer, tmp_path: Path, write_bundle: WriteBundle
) -> None:
    bundle = large(write_bundle("large"))

    def files() -> set[Path]:
        return {path for path in guarded.files.rglob("*") if path.is_file()}

    def kill_when_files_come() -> None:
        while files() == before:
            time.sleep(0.005)
        guarded.kill()

    assert open_registry(guarded.uri).versions("struck") == []
    before = files()
    killer = threading.Thread(target=kill_when_files_come)
    killer.start()
    with pytest.raises(RegistryError, match="registering struck failed") as error:
        open_registry(guarded.uri).register(bundle, "struck")
    killer.join()
    assert "\n" not in str(error.value)
    guarded.start()
    registry = open_registry(guarded.uri)
    assert registry.versions("struck") == []
    assert registry.register(bundle, "struck").version == "1"
    registry.fetch("struck", "1", tmp_path / "back")
    assert verify_manifest(tmp_path / "back") == verify_manifest(bundle)


@pytest.mark.slow
def test_who_may_not_read_a_model_does_not_take_its_files_for_unfinished(
    guarded: MlflowServer, write_bundle: WriteBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("secret", "once"):
        open_registry(guarded.uri).register(write_bundle(f"hidden {name}"), name)
    client = Location.parse(guarded.uri).client
    client.rename_registered_model("once", "now secret")
    client.create_registered_model("once")
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    dead = client.create_run(experiment, tags={PUBLISHING: "secret"}).info.run_id
    users = AuthServiceClient(guarded.uri)
    users.create_user("bob", f"{PASSWORD} of bob")
    guarded.cheapen_passwords()
    users.grant_user_permission("bob", "experiment", experiment, "MANAGE")
    users.grant_user_permission("bob", "registered_model", "once", "READ")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    later, bobs = datetime.now(UTC) + timedelta(minutes=1), open_registry(guarded.uri)
    bobs_client = Location.parse(guarded.uri).client
    assert bobs_client.get_registered_model("once")
    for name, unfinished in (("once", []), ("secret", [dead])):
        assert len(set(runs_before(bobs_client, later, name)) - {dead}) == 1, "bob sees where the files are"
        assert bobs.versions(name) == []
        assert bobs.unfinished(later, name) == unfinished


@pytest.mark.slow
def test_a_server_with_authentication(
    guarded: MlflowServer, tmp_path: Path, write_bundle: WriteBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = open_registry(guarded.uri)
    registry.register(write_bundle("mine"), "guarded")
    registry.set_alias("guarded", "champion", "1")
    registry.fetch("guarded", "champion", tmp_path / "back")
    registry.register(write_bundle("gone"), "guarded")
    registry.delete("guarded", "2")
    assert [version.version for version in registry.versions("guarded")] == ["1"]
    stored = [path.read_bytes() for path in guarded.files.rglob(TFLITE_FILE)]
    assert b"mine" * 100 in stored
    assert b"gone" * 100 not in stored, "the files go with the version"
    for name, password in ((ADMIN, "wrong"), ("nobody", PASSWORD), (None, None)):
        for variable, value in (("USERNAME", name), ("PASSWORD", password)):
            if value is None:
                monkeypatch.delenv(f"MLFLOW_TRACKING_{variable}")
            else:
                monkeypatch.setenv(f"MLFLOW_TRACKING_{variable}", value)
        with pytest.raises(AccessError, match="MLFLOW_TRACKING_USERNAME") as error:
            open_registry(guarded.uri).versions()
        assert "\n" not in str(error.value)
        assert PASSWORD not in str(error.value)
