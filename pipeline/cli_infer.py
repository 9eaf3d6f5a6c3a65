"""`efficientdet-pipeline infer`: a detector over millions of images, on a Beam engine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from pydantic import Field

from efficientdet.cli_numbers import score_option
from efficientdet.cli_registry import local_model, registry_option
from efficientdet.errors import ConfigError, DataError, EfficientDetError
from efficientdet.settings import Settings, read_yaml
from pipeline.beam import BeamConfig, check_arguments

if TYPE_CHECKING:
    import apache_beam as beam

    from components.bulk_inferrer import BulkSummary

NAMES = ("beam", "cluster")


class Engine(Settings):
    """Where a bulk inference runs: the part of a pipeline's settings that says so."""

    beam: BeamConfig = Field(default_factory=BeamConfig)
    cluster: dict[str, Any] = Field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """Beam's."""
        return self.beam.arguments(str(self.cluster.get("image", "efficientdet-pipeline:latest")))


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option(
    "--model", required=True, metavar="PATH|NAME[@ALIAS|@VERSION]", help="A model's path, or a registered model."
)
@click.option("--input", "images", metavar="SOURCE", help="A folder of images, a pattern, or a list.txt of paths.")
@click.option("--examples", metavar="GLOB", help="Shards of examples, as TFRecords, instead.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="New folder for shards of detections.")
@score_option
@click.option("--shards", type=click.IntRange(1, 10_000), help="Files of detections.  [by files or 1000 images]")
@click.option("--coco", type=click.Path(dir_okay=False, path_type=Path), help="Write all as one COCO result file too.")
@click.option("--config", "path", type=click.Path(dir_okay=False), help="YAML file; its beam and cluster count.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As beam.workers=8, beam.runner=...")
@registry_option
def infer(
    model: str,
    images: str | None,
    examples: str | None,
    output: Path,
    score: float,
    shards: int | None,
    coco: Path | None,
    path: str | None,
    overrides: tuple[str, ...],
    registry: str,
) -> None:
    """Detect objects in millions of images, on any Beam engine: shards of JSON lines, gzip.

    Each worker process opens the model once. Images that cannot be read are counted and named. The output appears
    whole; the same command again goes on with what a killed job left. Exit code 0: done; 1: failed; 2: bad usage.
    """
    if bool(images) == bool(examples):
        raise click.UsageError("give either --input, for image files, or --examples")
    try:
        make_pipeline = _engine(path, overrides)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    try:
        with local_model(model, registry) as (place, name):
            from components.bulk_inferrer import bulk_infer, check_coco_target

            if coco:
                check_coco_target(coco, output, place, *[Path(each) for each in (images,) if each])
            asked: dict[str, Any] = {"images": images, "examples": examples, "shards": shards, "name": name}
            done = bulk_infer(place, output, make_pipeline, score_threshold=score, **asked)
        _report(done, output)
        if coco:
            _write_coco(output, coco)
    except EfficientDetError as error:
        _fail(error)


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.argument("detections", type=click.Path(path_type=Path))
@click.option("--coco", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
def merge(detections: Path, coco: Path) -> None:
    """Write the shards of an inference, the --output of `infer`, as one COCO result file.

    Exit code 0: done; 1: failed.
    """
    from components.bulk_inferrer import write_coco

    try:
        count = write_coco(detections, coco)
    except EfficientDetError as error:
        _fail(error)
    click.echo(f"{coco}: {count} detections")


def _write_coco(output: Path, coco: Path) -> None:
    """Writes the COCO result file; when that cannot be, the error says that nothing is lost, and how to go on."""
    from components.bulk_inferrer import write_coco

    try:
        write_coco(output, coco)
    except EfficientDetError as error:
        command = f"efficientdet-pipeline merge {shlex.quote(str(output))} --coco FILE"
        raise DataError(f"{error}; the shards in {output} are whole, and `{command}` writes it from them") from error


def _fail(error: EfficientDetError) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(error.exit_code)


def _engine(path: str | None, overrides: tuple[str, ...]) -> Callable[[], beam.Pipeline]:
    """What makes an empty pipeline; raises ConfigError for settings and arguments that no engine takes."""
    given = {name: values for name, values in (read_yaml(path) if path else {}).items() if name in NAMES}
    engine = Engine.parse(given, source=path or "--set").override(overrides)
    check_arguments(engine.beam)
    import apache_beam as beam

    return lambda: beam.Pipeline(argv=engine.arguments)


def _report(done: BulkSummary, output: Path) -> None:
    for each in done.unreadable[:20]:
        click.echo(f"{each['file']}: skipped, {each['reason']}", err=True)
    broken = f", {done.broken} could not be read" if done.broken else ""
    click.echo(f"{done.detections} detections in {done.images} images{broken}: {output}, {done.shards} shards")
