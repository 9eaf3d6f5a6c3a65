"""A cluster's API on the loopback interface, strict: what the vendors' own definitions do not know is refused.

Kubeflow's routes and messages are those of kfp_server_api, Vertex AI's those of google.cloud.aiplatform_v1.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
from google.cloud.aiplatform_v1.services.pipeline_service.transports import rest_base as pipelines_rest
from google.cloud.aiplatform_v1.services.schedule_service.transports import rest_base as schedules_rest
from google.cloud.aiplatform_v1.types import pipeline_service, schedule_service
from google.protobuf import json_format

Json = dict[str, Any]


class Request(NamedTuple):
    """What a client asked for: `method` in the definitions' words, `parameters` of path and query."""

    method: str
    parameters: dict[str, str]
    body: Json | None


class ClusterServer(ThreadingHTTPServer):
    """Answers each request that the definitions know with what `answers` makes of it."""

    def __init__(self, routes: list[Route], answers: dict[str, Callable[[Request], Json]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes = routes
        self.answers = STORAGE_ANSWERS | answers
        self.requests: list[Request] = []
        self.refused: list[str] = []
        self.callers: set[str | None] = set()
        self.instead: bytes | None = None  # what a login page or another server would answer
        self.address = f"http://127.0.0.1:{self.server_port}"
        Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def asked(self, method: str) -> list[Request]:
        """Requests of one method."""
        return [request for request in self.requests if request.method == method]

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Route(NamedTuple):
    """A method of an API: its verb, the pattern of its path, the names of its query, and the check of its body."""

    name: str
    verb: str
    path: re.Pattern[str]
    query: frozenset[str]
    check: Callable[[Json], None] | None


class Handler(BaseHTTPRequestHandler):
    server: ClusterServer

    def answer(self) -> None:
        """Finds the route, checks the request, answers."""
        self.server.callers.add(self.headers.get("Authorization"))
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        try:
            request = self.checked(address.path, query, body)
            status, reply = 200, self.server.answers[request.method](request)
            self.server.requests.append(request)
        except NotThereError as error:
            status, reply = 404, {"error": {"code": 404, "message": str(error), "status": "NOT_FOUND"}}
        except (AssertionError, KeyError, ValueError, json_format.ParseError) as error:
            self.server.refused.append(f"{self.command} {self.path}: {error}")
            status, reply = 400, {"error": {"code": 400, "message": str(error), "status": "INVALID_ARGUMENT"}}
        content = json.dumps(reply).encode()
        if self.server.instead is not None:
            status, content = 200, self.server.instead
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

    def checked(self, path: str, query: dict[str, str], body: Json | None) -> Request:
        """The request as its definition has it; AssertionError where it has none."""
        if path.startswith(STORAGE):
            return Request(f"{self.command} storage", {"path": path.removeprefix(STORAGE)}, body)
        for route in self.server.routes:
            found = route.path.fullmatch(path)
            if found and route.verb == self.command:
                assert not query.keys() - route.query, f"{route.name} has no {query.keys() - route.query}"
                assert (body is None) == (route.check is None), f"{route.name}: body {body}"
                if route.check and body is not None:
                    route.check(body)
                return Request(route.name, {**found.groupdict(), **query}, body)
        raise AssertionError("there is no such method")

    def log_message(self, *_: Any) -> None:
        """Keeps the screen clean."""


class NotThereError(Exception):
    """What is asked for does not exist."""


def _no_bucket(asked: Request) -> Json:
    if asked.parameters["path"].endswith("/iam"):
        return {"bindings": []}
    raise NotThereError("there is no such bucket")


# Vertex AI's client makes the bucket of the artifacts, and lets the service account into it, where there is none.
STORAGE = "/storage/v1/b"
STORAGE_ANSWERS: dict[str, Callable[[Request], Json]] = {
    "GET storage": _no_bucket,
    "POST storage": lambda asked: asked.body or {},
    "PUT storage": lambda asked: asked.body or {},
}


def kubeflow_routes() -> list[Route]:
    """Of the services of kfp_server_api, read off the calls that it makes."""
    services = (
        kfp_server_api.RunServiceApi,
        kfp_server_api.ExperimentServiceApi,
        kfp_server_api.HealthzServiceApi,
        kfp_server_api.RecurringRunServiceApi,
    )
    return [route for service in services for route in _routes_of(service)]


def _routes_of(service: type) -> Iterator[Route]:
    for name, method in inspect.getmembers(service, inspect.isfunction):
        source = inspect.getsource(method)
        called = re.search(r"call_api\(\s*'([^']+)', '([A-Z]+)'", source)
        if not called:
            continue
        model = re.search(r":type body: (\w+)", source)
        check = _kubeflow_check(model[1]) if model else None
        query = frozenset(re.findall(r"query_params\.append\(\('([^']+)'", source))
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", called[1])
        yield Route(name.removesuffix("_with_http_info"), called[2], re.compile(pattern), query, check)


def _kubeflow_check(model: str) -> Callable[[Json], None]:
    return lambda body: check_model(body, model)


def check_model(value: Any, kind: str) -> None:
    """Raises AssertionError for a value that is not of one of kfp_server_api's types."""
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        assert isinstance(value, list), value
        for each in value:
            check_model(each, match[1])
    elif match := re.fullmatch(r"dict\(str, (.+)\)", kind):
        assert isinstance(value, dict), value
        for each in value.values():
            check_model(each, match[1])
    elif kind in ("str", "int", "bool", "float"):
        assert type(value).__name__ == kind, f"{value!r} is no {kind}"
    elif kind == "datetime":
        datetime.fromisoformat(value)
    elif kind != "object":
        _check_fields(value, getattr(kfp_server_api, kind))


def _check_fields(value: Any, model: Any) -> None:
    if hasattr(model, "allowable_values") and not getattr(model, "openapi_types", {}):
        assert value in model.allowable_values, value
        return
    kinds = {field: model.openapi_types[name] for name, field in model.attribute_map.items()}
    assert not value.keys() - kinds.keys(), f"{model.__name__} has no {value.keys() - kinds.keys()}"
    for field, each in value.items():
        check_model(each, kinds[field])


def vertex_routes() -> list[Route]:
    """Of the services of pipelines and schedules, whose transports say where each method is."""
    services = (
        (pipelines_rest._BasePipelineServiceRestTransport, pipeline_service),
        (schedules_rest._BaseScheduleServiceRestTransport, schedule_service),
    )
    return [route for transport, types in services for route in _vertex_routes_of(transport, types)]


@contextmanager
def vertex_server(
    answers: dict[str, Callable[[Request], Json]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClusterServer]:
    """A server that Google's client takes for Vertex AI, as long as the context lasts."""
    server = ClusterServer(vertex_routes(), answers)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
    aiplatform.init(
        project="team",
        location="europe-west4",
        api_endpoint=server.address,
        api_transport="rest",
        credentials=AnonymousCredentials(),
    )
    try:
        yield server
    finally:
        aiplatform.initializer.global_pool.shutdown(wait=True)
        server.close()


def _vertex_routes_of(transport: type, types: ModuleType) -> list[Route]:
    methods = vars(transport)
    requests = {name: getattr(types, f"{name.removeprefix('_Base')}Request", None) for name in methods}
    return [_vertex_route(name, methods[name], request) for name, request in requests.items() if request]


def _vertex_route(name: str, method: Any, request: Any) -> Route:
    [rule] = method._get_http_options()
    pattern = re.sub(r"\{([\w.]+)=([^}]+)\}", _named, rule["uri"])
    query = {field.json_name for field in request.pb(request()).DESCRIPTOR.fields} | {"$alt"}
    check = _vertex_check(request, rule["body"]) if "body" in rule else None
    return Route(name.removeprefix("_Base"), rule["method"].upper(), re.compile(pattern), frozenset(query), check)


def _named(found: re.Match[str]) -> str:
    return f"(?P<{found[1].replace('.', '_')}>{found[2]})".replace("*", "[^/:]+")


def _vertex_check(request: Any, field: str) -> Callable[[Json], None]:
    def check(body: Json) -> None:
        json_format.ParseDict(body if field == "*" else {field: body}, request.pb(request()))

    return check
