"""`efficientdet pull`: a registered model into a folder, with exit codes that tell a script what went wrong."""

from __future__ import annotations

from pathlib import Path

import click

from efficientdet.cli_paths import LocalPath
from efficientdet.cli_registry import registry_option, say
from efficientdet.errors import NoRoomError


@click.command()
@click.argument("reference", metavar="NAME[@ALIAS|@VERSION]")
@click.option(
    "--output",
    required=True,
    type=LocalPath(file_okay=False),
    help="Folder to pull into; an earlier pull there is replaced.",
)
@click.option(
    "--format",
    "file_format",
    default="tflite",
    show_default=True,
    type=click.Choice(["tflite", "saved_model", "all"]),
    help="Which of the model's files.",
)
@click.option("--variant", default="int8", show_default=True, help="Which of its TFLite files, as float16.")
@click.option(
    "--thresholds", is_flag=True, help="Have the TFLite's clients drop what scores below its class's best threshold."
)
@click.option("--offline", is_flag=True, help="Take what the cache has without asking a server.")
@registry_option
def pull(
    reference: str, output: Path, file_format: str, variant: str, thresholds: bool, offline: bool, registry: str
) -> None:
    """Fetch a registered model (its champion unless told otherwise) and verify its sums.

    What comes from a server is kept in a cache by its sum: in EFFICIENTDET_CACHE, or in efficientdet/models below the
    user's cache. A download that broke off goes on where it stopped, and when the server cannot be reached, what it
    said last is taken.

    \b
    Exit code 0: the model is there
              1: another failure       2: bad usage
              4: there is no such model, version, alias or file
              5: the server cannot be reached, and the cache does not hold it
              6: a file differs from what was registered
              7: no room, or a folder that cannot be written to
              8: the server refuses the name and password in
                 MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD,
                 or Google Cloud the credentials
    """
    from efficientdet.pulled_model import pull as pull_model
    from efficientdet.registry import open_registry
    from efficientdet.registry.cached import for_consumer

    source = for_consumer(open_registry(registry), say, offline)
    try:
        version = pull_model(source, reference, output, file_format, variant, thresholds)
    except OSError as error:
        raise NoRoomError(
            f"{error.filename or output}: {error.strerror or error}; make room, or check who may write there"
        ) from error
    click.echo(f"{version} is in {output}, sums verified")
