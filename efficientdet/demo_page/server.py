"""The demo page's web server: a fixed list of files, for the browser on this machine only."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from efficientdet.delegate_note import without_delegate_note
from efficientdet.demo_page.tasks_vision import FILES
from efficientdet.errors import ModelError
from efficientdet.tflite_detector import TFLiteDetector
from efficientdet.visualize import colour_of

ADDRESS = "127.0.0.1"
PAGE = ("index.html", "page.js", "stage.js", "detector.js", "letterbox.js", "style.css", "icon.svg")
TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}
SECURITY = {
    # tasks-vision would report its use to its maker: the page can reach nothing but this server
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Served:
    """What a path answers: its content, or the file that holds it."""

    content: bytes | Path
    kind: str


def routes(model: Path, title: str, tasks_vision: Path, images: Mapping[str, Path]) -> dict[str, Served]:
    """Every path of the page.

    Args:
      model: a TFLite file of ours; ModelError when it is none or LiteRT cannot run it.
      title: how the page calls it.
      tasks_vision: folder of `tasks_vision.FILES`.
      images: pictures to try, by name.
    """
    page = files("efficientdet.demo_page") / "page"
    served = {f"/{name}": Served((page / name).read_bytes(), _kind(name)) for name in PAGE}
    served["/"] = served.pop("/index.html")
    served |= {f"/tasks-vision/{name}": Served(tasks_vision / name, _kind(name)) for name in FILES}
    pictures = {f"/images/{name}": Served(path, _kind(path.name)) for name, path in images.items()}
    addresses = [quote(path, errors="surrogateescape") for path in pictures]
    about = json.dumps(describe(model, title) | {"images": addresses}, ensure_ascii=False)
    served["/model.json"] = Served(about.encode(), "application/json")
    served["/model.tflite"] = Served(model, "application/octet-stream")
    return served | pictures


def describe(model: Path, title: str) -> dict[str, Any]:
    """What the page must know of a model besides its file."""
    with without_delegate_note():
        detector = TFLiteDetector(model, num_threads=1)
    if detector.is_raw:
        raise ModelError(f"{model}: has no post-processing, which MediaPipe needs; give a file that has")
    height, width = detector.input_size
    colours = {label.name: "#{:02x}{:02x}{:02x}".format(*colour_of(label.id)) for label in detector.label_map}
    return {
        "title": title,
        "architecture": detector.config.model.name,
        "bytes": model.stat().st_size,
        "height": height,
        "width": width,
        "pad": [round(channel) for channel in detector.config.model.architecture.mean],
        # names as the file's labels.txt has them
        "colours": {" ".join(name.split()): colour for name, colour in colours.items()},
    }


def open_server(served: Mapping[str, Served], port: int) -> ThreadingHTTPServer:
    """A server of these paths on this machine's own address, ready for `serve_forever`; port 0 takes a free one.

    What is added to `served` until then is served too. Raises OSError when the port is taken, or not for this user.
    """
    server = ThreadingHTTPServer((ADDRESS, port), partial(_Handler, served))
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, served: Mapping[str, Served], *args: Any) -> None:
        self.served = served
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        found = self.served.get(unquote(urlsplit(self.path).path, errors="surrogateescape"))
        # a name that someone else resolves to this machine is no way in
        if (self.headers.get("Host") or "").rpartition(":")[0] not in (ADDRESS, "localhost"):
            return self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        if found is None:
            return self.send_error(HTTPStatus.NOT_FOUND)
        content = found.content if isinstance(found.content, bytes) else found.content.read_bytes()
        self.send_response(HTTPStatus.OK)
        for name, value in {"Content-Type": found.kind, "Content-Length": str(len(content)), **SECURITY}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)
        return None

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the user's."""


def _kind(name: str) -> str:
    known = TYPES.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{known}; charset=utf-8" if known.startswith("text/") else known
