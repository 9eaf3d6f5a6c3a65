"""Vertex's model service and a bucket, on the loopback interface.

What is asked of the model service must fit the addresses and messages that Google's own package defines: anything else
is answered with 400.
"""

from __future__ import annotations

import inspect
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from google.cloud import aiplatform_v1 as api
from google.cloud.aiplatform_v1.services.model_service.transports import rest_base

SERVED = ("UploadModel", "ListModels", "ListModelVersions", "MergeVersionAliases", "DeleteModelVersion")
TRANSPORT = rest_base._BaseModelServiceRestTransport


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def routes() -> Iterator[tuple[str, re.Pattern[str], str]]:
    """HTTP method, pattern of the path and name of each call that is served."""
    for call in SERVED:
        for rule in inspect.getattr_static(TRANSPORT, f"_Base{call}")._get_http_options():
            parts = re.split(r"\{([\w.]+)=([^}]*)\}", rule["uri"])
            pattern = ""
            for text, field, shape in zip(parts[::3], [*parts[1::3], ""], [*parts[2::3], ""], strict=True):
                pattern += re.escape(text) + (f"(?P<{field}>{shape.replace('*', '[^/]+')})" if field else "")
            yield rule["method"].upper(), re.compile(pattern), call


class VertexServer:
    """`models` by path: their versions, oldest first. `objects` by name: content and time.

    refuses: the status of every answer. says: the content of every answer. breaks_off: the bytes of a stored file after
    which the connection ends.
    """

    def __init__(self) -> None:
        self.models: dict[str, list[api.Model]] = {}
        self.given: dict[str, int] = {}
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.refuses, self.says = 0, b""
        self.breaks_off: int | None = None
        self.lock = threading.Lock()
        self._routes = list(routes())
        handler = type("Handler", (_Handler,), {"server_of": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.uri = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def call(self, method: str, path: str, query: dict[str, Any], body: bytes) -> str:
        """The JSON answer of the model service."""
        for verb, pattern, call in self._routes:
            if verb == method and (found := pattern.fullmatch(path)):
                kind = getattr(api, f"{call}Request")
                fields = {key: value for key, value in query.items() if not key.startswith("$")}
                asked = kind.from_json(json.dumps(json.loads(body or b"{}") | fields | found.groupdict()))
                return getattr(self, call)(asked)
        raise RefusedError(400, f"{method} {path}: no such call")

    def UploadModel(self, asked: api.UploadModelRequest) -> str:  # noqa: N802 Google's own names
        path = asked.parent_model or f"{asked.parent}/models/{asked.model_id}"
        if asked.parent_model and path not in self.models:
            raise RefusedError(404, f"{path} does not exist")
        if not asked.parent_model and path in self.models:
            raise RefusedError(409, f"{path} exists")
        if asked.model.artifact_uri and not asked.model.container_spec.image_uri:
            raise RefusedError(400, "container_spec.image_uri is required")
        number = str(self.given.get(path, 0) + 1)
        self.given[path] = int(number)
        model = api.Model(asked.model)
        model.name, model.version_id, model.version_create_time = path, number, datetime.now(UTC)
        model.version_aliases = ["default"] if number == "1" else []
        self.models.setdefault(path, []).append(model)
        return _done(api.UploadModelResponse(model=path, model_version_id=number), "UploadModelResponse")

    def ListModels(self, asked: api.ListModelsRequest) -> str:  # noqa: N802
        assert asked.filter == 'labels.managed-by="efficientdet"'
        mine = [versions[-1] for path, versions in self.models.items() if path.startswith(asked.parent)]
        return api.ListModelsResponse.to_json(api.ListModelsResponse(models=mine))

    def ListModelVersions(self, asked: api.ListModelVersionsRequest) -> str:  # noqa: N802
        if asked.name not in self.models:
            raise RefusedError(404, f"{asked.name} does not exist")
        # one on a page, so that pages are followed
        at = int(asked.page_token or 0)
        versions = self.models[asked.name]
        more = str(at + 1) if at + 1 < len(versions) else ""
        answer = api.ListModelVersionsResponse(models=versions[at : at + 1], next_page_token=more)
        return api.ListModelVersionsResponse.to_json(answer)

    def MergeVersionAliases(self, asked: api.MergeVersionAliasesRequest) -> str:  # noqa: N802
        path, _, number = asked.name.partition("@")
        for model in self.models[path]:
            held = set(model.version_aliases)
            for alias in asked.version_aliases:
                if alias.startswith("-") or model.version_id != number:
                    held.discard(alias.removeprefix("-"))
                else:
                    held.add(alias)
            model.version_aliases = sorted(held)
        return api.Model.to_json(next(model for model in self.models[path] if model.version_id == number))

    def DeleteModelVersion(self, asked: api.DeleteModelVersionRequest) -> str:  # noqa: N802
        path, _, number = asked.name.partition("@")
        [gone] = [model for model in self.models[path] if model.version_id == number]
        if len(self.models[path]) == 1:
            raise RefusedError(400, "the only version cannot be deleted")
        if "default" in gone.version_aliases:
            raise RefusedError(400, "the default version cannot be deleted")
        self.models[path].remove(gone)
        return json.dumps({"name": "operations/1", "done": True, "response": {"@type": _type("google.protobuf.Empty")}})


def _done(message: Any, name: str) -> str:
    response = json.loads(type(message).to_json(message)) | {"@type": _type(f"google.cloud.aiplatform.v1.{name}")}
    return json.dumps({"name": "operations/1", "done": True, "response": response})


def _type(name: str) -> str:
    return f"type.googleapis.com/{name}"


class _Handler(BaseHTTPRequestHandler):
    server_of: VertexServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_DELETE(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        act: Callable[..., tuple[int, bytes]] = self._bucket if "/storage/v1/" in url.path else self._model_service
        try:
            if self.server_of.refuses:
                raise RefusedError(self.server_of.refuses, "refused")
            with self.server_of.lock:
                status, answer = act(unquote(url.path), query, body)
        except RefusedError as error:
            status, answer = error.status, _error(error.status, str(error))
        except Exception as error:
            status, answer = 400, _error(400, f"{type(error).__name__}: {error}")
        answer = self.server_of.says or answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        is_file, breaks_off = "alt" in query and self.command == "GET", self.server_of.breaks_off
        if is_file and breaks_off is not None and breaks_off < len(answer):
            answer, self.close_connection = answer[:breaks_off], True
        self.wfile.write(answer)

    def _model_service(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        return 200, self.server_of.call(self.command, path, query, body).encode()

    def _bucket(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        objects, name = self.server_of.objects, path.partition("/o/")[2]
        if path.startswith("/upload/"):
            boundary = re.search(r"boundary=\"?([^\";]+)", self.headers["Content-Type"])
            assert boundary is not None
            _, told, content, _ = body.split(b"--" + boundary[1].strip("'").encode())
            name = json.loads(told.partition(b"\r\n\r\n")[2])["name"]
            objects[name] = (content.partition(b"\r\n\r\n")[2][:-2], datetime.now(UTC))
            return 200, json.dumps(_described(name, objects)).encode()
        if not name:
            found = [_described(each, objects) for each in sorted(objects) if each.startswith(query["prefix"])]
            return 200, json.dumps({"items": found}).encode()
        if name not in objects:
            raise RefusedError(404, f"no object {name}")
        if self.command == "DELETE":
            del objects[name]
            return 204, b""
        content = objects[name][0]
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if start and int(start[1]) >= max(1, len(content)):
            raise RefusedError(416, "beyond its end")
        return (206, content[int(start[1]) :]) if start else (200, content)


def _described(name: str, objects: dict[str, tuple[bytes, datetime]]) -> dict[str, str]:
    return {"name": name, "bucket": "b", "timeCreated": objects[name][1].isoformat().replace("+00:00", "Z")}


def _error(status: int, message: str) -> bytes:
    return json.dumps({"error": {"code": status, "message": message}}).encode()
