"""The demo page's server: what it answers, and whom."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from efficientdet.demo_page.server import PAGE, open_server, routes
from efficientdet.demo_page.tasks_vision import FILES
from efficientdet.errors import ModelError


@pytest.fixture(scope="module")
def served(tiny_export: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page of a tiny model; the library's files are their own names."""
    folder = tmp_path_factory.mktemp("tasks-vision")
    (folder / "wasm").mkdir()
    for name in FILES:
        (folder / name).write_text(name)
    (folder / "a b.jpg").write_bytes(b"jpeg")
    return routes(tiny_export.folder / "model_int8.tflite", "pets@1", folder, {"sub/a b.jpg": folder / "a b.jpg"})


@pytest.fixture(scope="module")
def port(served: dict[str, Any]) -> Iterator[int]:
    server = open_server(served, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def test_every_file_of_the_page_has_its_type(port: int, served: dict[str, Any]):
    kinds = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"}
    kinds |= {".svg": "image/svg+xml", ".wasm": "application/wasm"}
    paths = {"/": "/index.html"} | {f"/{name}": f"/{name}" for name in PAGE[1:]}
    paths |= {f"/tasks-vision/{name}": name for name in FILES}
    for path, name in paths.items():
        answer, content = ask(port, path)
        assert answer.status == 200, path
        assert answer.headers["Content-Type"].partition(";")[0] == kinds[Path(name).suffix]
        assert "connect-src 'self'" in answer.headers["Content-Security-Policy"]
        assert content
    assert set(paths) | {"/model.json", "/model.tflite", "/images/sub/a b.jpg"} == set(served)


def test_the_model_and_what_the_page_must_know_of_it(port: int, tiny_export: Any):
    answer, content = ask(port, "/model.tflite")
    assert content == (tiny_export.folder / "model_int8.tflite").read_bytes()
    about = json.loads(ask(port, "/model.json")[1])
    assert about["title"] == "pets@1"
    assert (about["height"], about["width"], about["pad"]) == (64, 64, [127, 127, 127])
    assert list(about["colours"]) == ["cat", "dog", "bird"]
    assert about["images"] == ["/images/sub/a%20b.jpg"]
    assert ask(port, about["images"][0])[1] == b"jpeg"
    answer, content = ask(port, "/model.json", "HEAD")
    assert (answer.status, content) == (200, b"")


@pytest.mark.parametrize("path", ["/none", "/../setup.py", "/images/../server.py", "/tasks-vision/", "//etc/passwd"])
def test_nothing_else_is_there(port: int, path: str):
    assert ask(port, path)[0].status == 404


def test_a_name_that_others_resolve_to_this_machine_is_refused(port: int):
    assert ask(port, "/", Host="evil.example:80")[0].status == 421
    assert ask(port, "/", Host=f"localhost:{port}")[0].status == 200


def test_a_model_that_is_not_ours_is_a_sentence(shared: Path, tmp_path: Path):
    [published] = (shared / "data/models").glob("*.tflite")
    with pytest.raises(ModelError, match="not a TFLite model of this product"):
        routes(published, "ssd", tmp_path, {})
