"""What the commands of `efficientdet-pipeline` share: options, and errors as sentences with exit codes."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, NoReturn

import click

from efficientdet.errors import ConfigError, EfficientDetError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

EXIT_FAILED, EXIT_USAGE = 1, 2

config_file = click.Path(dir_okay=False)
config_option = click.option("--config", "path", required=True, type=config_file, help="YAML file.")
set_option = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting.")
engine_option = click.option(
    "--engine", required=True, type=click.Choice(["kubeflow", "vertex"]), help="What runs it there."
)


def load(path: str, overrides: tuple[str, ...]) -> PipelineConfig:
    """The config of a file; ends the process where it is wrong."""
    from pipeline.config import load_config

    try:
        return load_config(path, overrides)
    except ConfigError as error:
        fail(error)


def fail(error: EfficientDetError) -> NoReturn:
    """Says what is wrong and ends the process: with 2 for what the user wrote, a ConfigError, else with 1."""
    click.echo(f"error: {error}", err=True)
    sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED)


def quiet() -> None:
    """Keeps what Google's libraries say of their own future off the screen."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="google|kfp")
