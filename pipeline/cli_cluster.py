"""`efficientdet-pipeline compile | submit | status`: the pipeline on Kubeflow or Vertex AI."""

from __future__ import annotations

import json
import re
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from efficientdet.errors import ConfigError, EfficientDetError
from pipeline.cli_options import EXIT_FAILED, EXIT_USAGE, config_option, engine_option, fail, load, quiet, set_option

if TYPE_CHECKING:
    from pipeline.cluster_run import ClusterRun
    from pipeline.compiled_spec import Engine
    from pipeline.config import PipelineConfig

EXIT_RUNNING = 4
# Of a display name on Vertex AI; a run's id there begins with `run-` if the name begins with no letter.
LONGEST_NAME = 123
EXIT_CODES = {"SUCCEEDED": 0, "RUNNING": EXIT_RUNNING}


@click.command("compile")
@config_option
@set_option
@engine_option
@click.option("--output", required=True, type=click.Path(dir_okay=False), help=".yaml for kubeflow, .json for vertex.")
def compile_(path: str, overrides: tuple[str, ...], engine: Engine, output: str) -> None:
    """Write the pipeline's specification for Kubeflow Pipelines v2 or Vertex AI."""
    quiet()
    config = load(path, overrides)
    from pipeline.kubeflow_runner import compile_pipeline
    from pipeline.span import newest_span

    try:
        source, span = newest_span(config.source)
        spec = compile_pipeline(config.model_copy(update={"source": source}), engine, output)
    except EfficientDetError as error:
        fail(error)
    of_span = f" of span {span}" if span else ""
    click.echo(f"{output}: {config.name}{of_span} for {engine}, parameters {', '.join(spec.parameters)}")
    _note_places(config)


@click.command()
@config_option
@set_option
@engine_option
@click.option("--data-path", help="Folder of the data set in this run.  [source.path]")
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), help="Length of the training.")
@click.option("--floors", metavar="JSON", help='What the model must reach, as {"AP": 0.4}.  [blessing.floors]')
@click.option("--name", help="Name of the run.  [the pipeline's, and the time]")
@click.option("--no-cache", is_flag=True, help="Run every node, whatever is cached.")
def submit(
    path: str,
    overrides: tuple[str, ...],
    engine: Engine,
    data_path: str | None,
    epochs: float | None,
    floors: str | None,
    name: str | None,
    no_cache: bool,
) -> None:
    """Compile the pipeline and start a run of it. Prints the run's id alone."""
    quiet()
    _check_run_name(name)
    config = load(path, overrides)
    given = {"data_path": data_path, "epochs": epochs, "floors": _checked_floors(config, floors)}
    from pipeline import cluster_run

    name = name or f"{config.name} {time.strftime('%Y-%m-%d %H-%M-%S')}"
    parameters = {key: value for key, value in given.items() if value is not None}
    try:
        run = cluster_run.submit(config, engine, parameters, name, cache=False if no_cache else None)
    except EfficientDetError as error:
        fail(error)
    click.echo(run.id)
    _note_places(config)


@click.command()
@config_option
@set_option
@engine_option
@click.option("--run", "run_id", metavar="ID", help="One run, with its nodes.  [the newest of this pipeline]")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 100), help="How many runs to list.")
@click.option("--turns", is_flag=True, help="List the turns of its schedule, which begin its runs.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def status(
    path: str, overrides: tuple[str, ...], engine: Engine, run_id: str | None, limit: int, turns: bool, as_json: bool
) -> None:
    """Show runs. With --run the exit code tells: 0 succeeded, 4 on its way, 1 anything else; 2: bad usage."""
    quiet()
    config = load(path, overrides)
    from pipeline.cluster import turn_name
    from pipeline.cluster_run import open_client

    try:
        client = open_client(config, engine)
        name = turn_name(config.name) if turns else config.name
        runs = [client.run(run_id)] if run_id else list(islice(client.runs(name), limit))
    except EfficientDetError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps([run._asdict() for run in runs], indent=1))
    else:
        _show(runs, with_nodes=run_id is not None)
    if run_id:
        sys.exit(EXIT_CODES.get(runs[0].state, EXIT_FAILED))


def _check_run_name(name: str | None) -> None:
    """Ends the process for a name that no engine takes."""
    if name is None:
        return
    if len(name) > LONGEST_NAME:
        fail(ConfigError(f"--name: has {len(name)} characters, give {LONGEST_NAME} at most"), EXIT_USAGE)
    if not re.search("[A-Za-z0-9]", name) or not name.isprintable():
        fail(
            ConfigError(f"--name {name!r}: the run's id is made of it; give one with letters a-z or digits"), EXIT_USAGE
        )


def _checked_floors(config: PipelineConfig, floors: str | None) -> str | None:
    """The floors as they are given, found to be some; ends the process where they are none."""
    if floors is None:
        return None
    try:
        given: Any = json.loads(floors)
    except ValueError as error:
        fail(ConfigError(f'--floors {floors}: is no JSON ({error}); give floors as {{"AP": 0.4}}'), EXIT_USAGE)
    from efficientdet.blessing import Bounds

    try:
        Bounds.parse(config.blessing.to_dict() | {"floors": given}, source="--floors")
    except ConfigError as error:
        fail(error, EXIT_USAGE)
    return floors


def _show(runs: list[ClusterRun], with_nodes: bool) -> None:
    for run in runs:
        click.echo("  ".join(part for part in (run.created, run.state, run.id, run.name, run.error) if part))
        for node, state in sorted(run.nodes.items()) if with_nodes else ():
            click.echo(f"  {state:<10} {node}")
    if not runs:
        click.echo("no runs", err=True)


def _note_places(config: PipelineConfig) -> None:
    """Says which folders of this machine the cluster must have too."""
    for place in (config.source.path, config.registry.uri):
        if "://" not in place:
            click.echo(f"note: every node must find {place} under this very path; mount it in the cluster", err=True)
