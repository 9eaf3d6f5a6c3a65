"""Google's real clients against a server that holds their requests against Google's own definitions."""

from __future__ import annotations

import errno
import resource
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseError
from google.resumable_media import DataCorruption
from requests.exceptions import ChunkedEncodingError
from urllib3.exceptions import ProtocolError

from efficientdet.bundle import TFLITE_FILE, verify_manifest
from efficientdet.cli import main
from efficientdet.errors import (
    AccessError,
    NoRoomError,
    NotRegisteredError,
    RegistryError,
    TamperedError,
    UnreachableError,
)
from efficientdet.registry import Registry, open_registry, retention, vertex_files
from efficientdet.registry.blob_cache import BlobCache
from efficientdet.registry.cached import CachedRegistry
from efficientdet.registry.promotion import promote, promotions, rollback
from efficientdet.registry.retention import Garbage, Policy, collect, garbage
from efficientdet.registry.vertex_client import ENDPOINT, Place, requests
from schemas.registry_entry import FILE_NAME
from tests.efficientdet.registry.child import exit_code, in_child
from tests.efficientdet.registry.vertex_server import RefusedError, VertexServer
from tests.free_port import free_port

WriteBundle = Callable[[str], Path]
URI = "vertex://my-project/europe-west4"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VertexServer]:
    started = VertexServer()
    monkeypatch.setenv(ENDPOINT, started.uri)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", started.uri)
    monkeypatch.setenv("EFFICIENTDET_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield started
    started.close()


@pytest.fixture
def two(server: VertexServer, write_bundle: WriteBundle) -> Registry:
    """`digits` 1 and 2."""
    registry = open_registry(URI)
    registry.register(write_bundle("one"), "digits", metrics={"int8": {"AP": 0.5}}, tags={"data": "f00"})
    registry.register(write_bundle("two"), "digits")
    return registry


def test_it_serves_as_the_folder_does(two: Registry, tmp_path: Path, write_bundle: WriteBundle) -> None:
    assert [str(version) for version in two.versions()] == ["digits@2", "digits@1"]
    first = two.get("digits", "1")
    assert (first.metrics, first.tags, first.aliases) == ({"int8": {"AP": 0.5}}, {"data": "f00"}, ())
    assert two.register(write_bundle("one"), "digits") == first, "equal content is one version"
    two.fetch("digits", "1", tmp_path / "bundle")
    assert verify_manifest(tmp_path / "bundle") == verify_manifest(write_bundle("one"))
    with pytest.raises(NotRegisteredError, match="there is no model 'digit'; did you mean digits"):
        two.get("digit")
    assert two.versions("nobody") == []


def test_promotions_and_rollbacks(two: Registry, server: VertexServer, capfd: pytest.CaptureFixture[str]) -> None:
    for version in ("1", "2"):
        promote(two, "digits", version, "ann", f"why {version}")
    assert {v.version: v.aliases for v in two.versions()} == {"2": ("champion",), "1": ("previous",)}
    assert "default" in server.models["projects/my-project/locations/europe-west4/models/digits"][1].version_aliases
    rollback(two, "digits", "bob", "back")
    assert two.get("digits").version == "1"
    assert [entry.reason for entry in promotions(two, "digits")] == ["why 1", "why 2", "back"]
    assert capfd.readouterr().out == "", "Google's clients say nothing where programs read"


def test_a_stored_file_that_changed_or_went_is_refused(two: Registry, server: VertexServer, tmp_path: Path) -> None:
    [name] = [name for name, (content, _) in server.objects.items() if content == b"two" * 100]
    server.objects[name] = (b"TWO" * 100, server.objects[name][1])
    with pytest.raises(TamperedError, match=f"{TFLITE_FILE} of digits@2 differs"):
        two.fetch("digits", "2", tmp_path / "changed")
    del server.objects[name]
    with pytest.raises(TamperedError, match=rf"{TFLITE_FILE} of .* is missing"):
        two.fetch("digits", "2", tmp_path / "gone")
    assert not list(tmp_path.iterdir())


def test_a_download_goes_on(two: Registry, tmp_path: Path) -> None:
    target = tmp_path / "part"
    for begun in (b"two" * 60 + b"t", b"two" * 100, b""):
        target.write_bytes(begun)
        two.read(two.get("digits", "2"), TFLITE_FILE, target)
        assert target.read_bytes() == b"two" * 100


def test_several_at_once_neither_lose_nor_double_a_version(
    server: VertexServer, tmp_path: Path, write_bundle: WriteBundle
) -> None:
    bundles = [write_bundle("common" if number % 2 else f"own {number}") for number in range(8)]
    told: list[str] = []
    threads = [
        threading.Thread(target=lambda each=each: told.append(open_registry(URI).register(each, "digits").version))
        for each in bundles
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 8
    assert len(set(told)) == 5
    registry = open_registry(URI)
    assert {version.version for version in registry.versions()} == set(told)
    for version in set(told):
        registry.fetch("digits", version, tmp_path / version)


def test_a_model_that_appears_while_it_is_made(
    two: Registry, monkeypatch: pytest.MonkeyPatch, write_bundle: WriteBundle
) -> None:
    listed, early = VertexServer.ListModelVersions, iter(range(2))

    def late(server: VertexServer, asked: Any) -> str:
        if next(early, None) is not None:
            raise RefusedError(404, "not yet")
        return listed(server, asked)

    monkeypatch.setattr(VertexServer, "ListModelVersions", late)
    assert two.register(write_bundle("three"), "digits").version == "3"
    assert next(early, None) is None, "both looks before the upload found no model"


def test_old_versions_and_dead_publishings_go(
    two: Registry, server: VertexServer, monkeypatch: pytest.MonkeyPatch, write_bundle: WriteBundle
) -> None:
    two.register(write_bundle("three"), "digits")
    promote(two, "digits", "1", "ann", "first")
    monkeypatch.setattr(VertexServer, "UploadModel", lambda *_: 1 / 0)
    with pytest.raises(RegistryError, match="registering digits failed"):
        two.register(write_bundle("half"), "digits")
    monkeypatch.setattr(retention, "UNFINISHED_AFTER", timedelta(0))
    found = garbage(two, Policy(keep=1))
    assert ([str(version) for version in found.versions], len(found.unfinished)) == (["digits@2"], 1)
    assert garbage(two, Policy(keep=1), "faces") == Garbage([], []), "what died was of another name"
    assert collect(two, found) == (found, {})
    assert [version.version for version in two.versions()] == ["3", "1"]
    contents = {content for content, _ in server.objects.values()}
    assert b"two" * 100 not in contents
    assert b"half" * 100 not in contents
    assert len(promotions(two, "digits")) == 1


def test_files_of_a_version_that_somebody_edited_stay(two: Registry, server: VertexServer) -> None:
    promote(two, "digits", "2", "ann", "first")
    [path] = server.models
    first, second = server.models[path]
    first.artifact_uri += "/"
    second.labels = {"team": "x"}
    before = datetime.now(UTC) + timedelta(minutes=1)
    for name in (None, "digits"):
        assert two.unfinished(before, name) == [], "one address ends with /, the other's label was replaced"
    first.labels = {"team": "x"}
    assert two.unfinished(before) == [], "Vertex has versions, none of them ours"
    del server.models[path]
    assert two.unfinished(before) == [], "there are notes of a model that Vertex does not show"
    server.objects = {name: held for name, held in server.objects.items() if "/notes/" not in name}
    assert len(two.unfinished(before)) == 2


def test_placeholders_of_empty_folders_are_no_files(two: Registry, server: VertexServer) -> None:
    root = "efficientdet-registry/my-project/europe-west4/"
    server.objects |= {root + name: (b"", datetime.now(UTC)) for name in ("", "digits/", "digits/notes/", "faces/")}
    assert two.unfinished(datetime.now(UTC) + timedelta(minutes=1)) == []
    assert two.notes("digits") == {}


def test_what_vertex_does_not_delete_is_named_and_the_rest_goes(two: Registry, write_bundle: WriteBundle) -> None:
    two.register(write_bundle("three"), "digits")
    two.register(write_bundle("face"), "faces")
    found = garbage(two, Policy(keep=0))
    assert [str(version) for version in found.versions] == ["faces@1", "digits@1", "digits@2", "digits@3"]
    gone, stayed = collect(two, found)
    assert [str(version) for version in gone.versions] == ["digits@2", "digits@3"]
    assert set(stayed) == {"faces@1", "digits@1"}
    assert "faces@1 is the only version" in stayed["faces@1"]
    assert "digits@1 is Vertex's default version" in stayed["digits@1"]
    assert [str(version) for version in two.versions()] == ["digits@1", "faces@1"]


def test_a_damaged_version_is_left_out_and_named(
    two: Registry, server: VertexServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    damaged = two.get("digits", "2")
    del server.objects[next(name for name in server.objects if name.endswith(f"{damaged.entry}/{FILE_NAME}"))]
    assert [str(version) for version in two.versions()] == ["digits@1"]
    assert [str(version) for version in two.versions("digits")] == ["digits@1"]
    [warning] = caplog.messages
    assert warning.startswith(f"{URI}: digits@2 is left out: {FILE_NAME} of ")
    for registry in (two, CachedRegistry(two, BlobCache.of_user(), print)):
        with pytest.raises(TamperedError, match=rf"{FILE_NAME} of .*{damaged.entry} is missing; restore that file"):
            registry.fetch("digits", "2", tmp_path / "none")
    with pytest.raises(NotRegisteredError, match="digits has no version or alias '7'"):
        CachedRegistry(two, BlobCache.of_user(), print).get("digits", "7")


def test_a_damaged_champion_is_no_absent_one_and_can_be_replaced(two: Registry, server: VertexServer) -> None:
    promote(two, "digits", "2", "ann", "first")
    entry = two.get("digits").entry
    server.objects = {name: held for name, held in server.objects.items() if not name.endswith(f"{entry}/{FILE_NAME}")}
    for ask in (two.champion, two.get):
        with pytest.raises(TamperedError, match=f"{FILE_NAME} of .* is missing"):
            ask("digits")
    promote(two, "digits", "1", "ann", "the other is damaged")
    assert two.get("digits").version == "1"


def pull(monkeypatch: pytest.MonkeyPatch, output: Path) -> object:
    """The exit code of the program."""
    monkeypatch.setattr("sys.argv", ["efficientdet", "pull", "digits@2", "--registry", URI, "--output", str(output)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_a_download_that_breaks_off_and_a_full_disk_have_their_exit_codes(
    two: Registry,
    server: VertexServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(vertex_files, "PATIENCE_S", 0.0)
    [name] = [name for name, (content, _) in server.objects.items() if content == b"two" * 100]
    server.breaks_off = 10
    assert pull(monkeypatch, tmp_path / "out") == UnreachableError.exit_code
    said = capsys.readouterr().err
    assert "it cannot be reached" in said
    assert said.count("\n") == 1
    server.breaks_off = None

    def full() -> None:
        """No file may grow beyond 100 bytes, as on a disk that is full by then."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        assert pull(monkeypatch, tmp_path / "out") == NoRoomError.exit_code

    assert exit_code(in_child(full)) == 0
    assert pull(monkeypatch, tmp_path / "out") == 0
    assert (tmp_path / "out" / "model.tflite").read_bytes() == server.objects[name][0]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("no\nresult"), RegistryError),
        (ValueError("no address"), RegistryError),
        (ParseError("no JSON"), RegistryError),
        (DataCorruption(None, "other bytes"), RegistryError),
        (ChunkedEncodingError("broke off"), UnreachableError),
        (ProtocolError("broke off"), UnreachableError),
        (IncompleteRead(b""), UnreachableError),
        (ConnectionResetError("broke off"), UnreachableError),
        (OSError(errno.ENOSPC, "No space left on device"), NoRoomError),
    ],
)
def test_what_googles_clients_raise_is_one_sentence(error: Exception, kind: type[RegistryError]) -> None:
    with pytest.raises(RegistryError) as told, requests(URI, "asking"):
        raise error
    assert type(told.value) is kind
    assert str(told.value).startswith(f"{URI}: asking failed")
    assert "\n" not in str(told.value)


def test_an_answer_that_is_no_json_is_one_sentence(two: Registry, server: VertexServer) -> None:
    server.says = b"<html>\nSign in</html>"
    for ask in (two.versions, lambda: two.notes("digits"), lambda: two.get("digits", "1")):
        with pytest.raises(RegistryError) as told:
            ask()
        assert (str(told.value).count(URI), str(told.value).count("\n")) == (1, 0)


def test_refusals_are_sentences_of_their_kind(two: Registry, server: VertexServer, write_bundle: WriteBundle) -> None:
    with pytest.raises(RegistryError, match="Vertex takes up to 63 lower-case letters"):
        two.register(write_bundle("one"), "Digits")
    server.refuses = 403
    with pytest.raises(AccessError, match="gcloud auth application-default login"):
        two.versions()
    with pytest.raises(AccessError) as told:
        two.register(write_bundle("three"), "digits")
    assert str(told.value).count(URI) == 1


@pytest.mark.parametrize(("alias", "says"), [("Staging_1", "Vertex takes 2 to 128"), ("default", "is Vertex's own")])
def test_aliases_that_vertex_does_not_take_are_refused(two: Registry, alias: str, says: str) -> None:
    with pytest.raises(RegistryError, match=f"alias '{alias}': {says}"):
        two.set_alias("digits", alias, "1")
    assert [version.aliases for version in two.versions()] == [(), ()]


@pytest.mark.parametrize("name", ["Cars", "3d-cars", "a.b", "a" * 64])
def test_names_that_vertex_does_not_take_are_refused(name: str) -> None:
    with pytest.raises(RegistryError, match=f"model name '{name}': Vertex takes up to 63 lower-case letters"):
        open_registry(URI).check(name, "champion")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/projects/p/locations/l/models:upload", b'{"modelid": "digits"}'),
        ("POST", "/v1/projects/p/locations/l/models:upload", b'{"model": {"labels": "x"}}'),
        ("POST", "/v1/projects/p/models:upload", b"{}"),
        ("GET", "/v1/projects/p/locations/l/models/digits:mergeVersionAliases", b""),
    ],
)
def test_the_server_refuses_what_google_does_not_define(
    server: VertexServer, method: str, path: str, body: bytes
) -> None:
    request = urllib.request.Request(server.uri + path, data=body or None, method=method)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=10)
    assert server.models == {}


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnreachableError, match="it cannot be reached"):
        open_registry(URI).versions("digits")


def test_addresses() -> None:
    assert Place.parse(URI).bucket == "my-project-vertex-staging-europe-west4"
    assert Place.parse(f"{URI}?bucket=models").bucket == "models"
    for wrong in ("vertex://", "vertex://p", "vertex://p/l/x", "vertex://p/l?b=x"):
        with pytest.raises(RegistryError, match="not vertex://PROJECT/LOCATION"):
            open_registry(wrong)
