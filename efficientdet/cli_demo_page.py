"""`efficientdet demo-page`: a model in the browser, on photos and on the camera."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from efficientdet.cli_registry import local_model, registry_option
from efficientdet.errors import DataError, ModelError

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from efficientdet.demo_page.server import Served

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"})
"""Of pictures that browsers show."""


@click.command("demo-page")
@click.option(
    "--model", required=True, metavar="FILE|NAME[@ALIAS|@VERSION]", help="A TFLite file, or a registered model."
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--images", type=click.Path(exists=True, path_type=Path), help="An image, or a folder of them, to offer for a try."
)
@click.option(
    "--tasks-vision",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The npm package of MediaPipe's tasks-vision as a file, for a machine that cannot fetch it.",
)
@registry_option
def demo_page(model: str, port: int, images: Path | None, tasks_vision: Path | None, registry: str) -> None:
    """Serve a page that runs a model in the browser: drop a photo or use the camera.

    Photos stay in the browser. The page is for this machine only; the first call fetches MediaPipe's tasks-vision
    by npm and keeps it, and nothing else is ever fetched.
    """
    from efficientdet.demo_page import server
    from efficientdet.demo_page import tasks_vision as library
    from efficientdet.detector_file import CALLED, locate

    with local_model(model, registry) as (path, title):
        kind, file = locate(path)
        if kind != "tflite":
            raise ModelError(
                f"{file}: is {CALLED[kind]}, and browsers run TFLite files; give one, or the name of a registered model"
            )
        served: dict[str, server.Served] = {}
        with _server(served, port) as web:  # which may be refused, unlike what is fetched now
            served |= server.routes(file, title, library.tasks_vision(tasks_vision), _pictures(images))
            click.echo(f"{title} is at http://{server.ADDRESS}:{web.server_port}/ until Ctrl-C")
            try:
                web.serve_forever()
            except KeyboardInterrupt:
                click.echo()


def _server(served: Mapping[str, Served], port: int) -> ThreadingHTTPServer:
    from efficientdet.demo_page import server

    try:
        return server.open_server(served, port)
    except OSError as error:
        raise DataError(f"--port={port}: cannot be used ({error.strerror}); give another, or 0") from error


def _pictures(images: Path | None) -> dict[str, Path]:
    if images is None:
        return {}
    paths = [images] if images.is_file() else sorted(p for p in images.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"{images}: holds no picture that browsers show; they know {', '.join(sorted(SUFFIXES))}")
    root = images.parent if images.is_file() else images
    return {path.relative_to(root).as_posix(): path for path in paths}
