"""Which model registry a command means, and a model that is in it or in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from efficientdet.errors import ModelError

DEFAULT_REGISTRY = "runs/registry"

registry_option = click.option(
    "--registry",
    envvar="EFFICIENTDET_REGISTRY",
    default=DEFAULT_REGISTRY,
    show_default=True,
    show_envvar=True,
    metavar="URI",
    help="A folder, sqlite:////abs/path/registry.db, the http(s) address of an MLflow server or vertex://PROJECT/LOCATION.",
)


def say(sentence: str) -> None:
    """Tells a person what a script need not know."""
    click.echo(f"note: {sentence}", err=True)


@contextmanager
def local_model(model: str, registry: str) -> Iterator[tuple[Path, str]]:
    """The path of a model and what to call it; a registered one's TFLite file is pulled for the time being.

    Raises ModelError for what looks like a path where nothing is, and RegistryError for a name that is not registered.
    """
    path = Path(model)
    if path.exists():
        yield path, path.name
        return
    if path.suffix in (".tflite", ".pb", ".h5") or "/" in model:
        raise ModelError(f"{model}: there is no such file; give the path of a model, or the name of a registered one")
    from efficientdet.pulled_model import pull
    from efficientdet.registry import open_registry
    from efficientdet.registry.cached import for_consumer

    with tempfile.TemporaryDirectory(prefix="efficientdet-") as folder:
        version = pull(for_consumer(open_registry(registry), say), model, folder)
        yield Path(folder) / "model.tflite", str(version)
