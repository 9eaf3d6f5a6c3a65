"""`efficientdet-pipeline image`: how to build the image that a compiled pipeline runs in."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from efficientdet.errors import ConfigError
from pipeline.cli_options import config_option, fail, load, quiet, set_option

if TYPE_CHECKING:
    from pipeline.image import Tool


@click.command()
@config_option
@set_option
@click.option("--context", type=click.Path(), help="Source tree to build from.  [that of this installation]")
@click.option(
    "--tool", type=click.Choice(["docker", "podman"]), default="docker", show_default=True, help="What builds it."
)
@click.option("--base", metavar="IMAGE", help="What to build upon: has python3.11.  [python:3.11-slim]")
def image(path: str, overrides: tuple[str, ...], context: str | None, tool: Tool, base: str | None) -> None:
    """Print the commands that build and push cluster.image, for a shell.

    With CUDA where any node asks for GPUs. `efficientdet-pipeline image --config mine.yaml | sh -e` runs them.
    """
    quiet()
    config = load(path, overrides)
    from pipeline.image import commands, notes, source_tree

    try:
        printed = [shlex.join(words) for words in commands(config, source_tree(context), tool, base)]
    except ConfigError as error:
        fail(error)
    click.echo("\n".join(printed))
    for note in notes(config.cluster):
        click.echo(f"note: {note}", err=True)
