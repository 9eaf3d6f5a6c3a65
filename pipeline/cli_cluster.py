"""`efficientdet-pipeline compile | submit | status`: the pipeline on Kubeflow or Vertex AI; `status` here too."""

from __future__ import annotations

import json
import re
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import click

from efficientdet.cli_numbers import NumberRange
from efficientdet.errors import ConfigError, EfficientDetError
from pipeline.cli_options import EXIT_FAILED, config_option, engine_option, fail, load, quiet, set_option

if TYPE_CHECKING:
    from pipeline.cluster_run import ClusterRun, RunReader
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
    _note_places(config.source.path, config.registry.uri)


@click.command()
@config_option
@set_option
@engine_option
@click.option("--data-path", help="Folder of the data set in this run.  [source.path]")
@click.option("--epochs", type=NumberRange(0, 1e9, min_open=True), help="Length of the training.")
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
    _check_data_path(data_path)
    given = {"data_path": data_path, "epochs": epochs, "floors": _checked_floors(config, floors)}
    from pipeline import cluster_run

    name = name or f"{config.name} {time.strftime('%Y-%m-%d %H-%M-%S')}"
    parameters = {key: value for key, value in given.items() if value is not None}
    try:
        run = cluster_run.submit(config, engine, parameters, name, cache=False if no_cache else None)
    except EfficientDetError as error:
        fail(error)
    click.echo(run.id)
    _note_places(data_path or config.source.path, config.registry.uri)


@click.command()
@config_option
@set_option
@click.option(
    "--engine",
    default="local",
    show_default=True,
    type=click.Choice(["local", "kubeflow", "vertex"]),
    help="What runs it; local is this machine.",
)
@click.option("--run", "run_id", metavar="ID", help="One run, with its nodes; `last` for the newest.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 100), help="How many runs to list.")
@click.option("--turns", is_flag=True, help="List the turns of its schedule, which begin its runs.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def status(
    path: str,
    overrides: tuple[str, ...],
    engine: Engine | Literal["local"],
    run_id: str | None,
    limit: int,
    turns: bool,
    as_json: bool,
) -> None:
    """Show runs: where they are, and how they ended.

    With --run the exit code tells: 0 succeeded, 4 on its way, 1 anything else. 2: bad usage, or no run to show.
    """
    quiet()
    config = load(path, overrides)
    try:
        runs = _asked(config, engine, run_id, limit, turns)
    except EfficientDetError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps([run._asdict() for run in runs], indent=1))
    else:
        _show(runs, with_nodes=run_id is not None)
    if run_id:
        sys.exit(EXIT_CODES.get(runs[0].state, EXIT_FAILED))


def _asked(
    config: PipelineConfig, engine: Engine | Literal["local"], run_id: str | None, limit: int, turns: bool
) -> list[ClusterRun]:
    """One run or the newest ones."""
    if engine == "local":
        if turns:
            raise ConfigError("--turns: only clusters run by a schedule; name the --engine, or leave it out")
        from pipeline.local_client import LocalClient

        client: RunReader = LocalClient(config)
    else:
        from pipeline.cluster_run import open_client

        client = open_client(config, engine)
    from pipeline.cluster import turn_name

    newest = client.runs(turn_name(config.name) if turns else config.name)
    if run_id is None:
        return list(islice(newest, limit))
    if run_id != "last":
        return [client.run(run_id)]
    last = next(iter(newest), None)
    if last is None:
        raise ConfigError(f"last: there is no run of {config.name} yet")
    # A list may be without the nodes; what has no id yet has none.
    return [client.run(last.id) if last.id else last]


def _check_run_name(name: str | None) -> None:
    """Ends the process for a name that no engine takes."""
    if name is None:
        return
    if len(name) > LONGEST_NAME:
        fail(ConfigError(f"--name: has {len(name)} characters, give {LONGEST_NAME} at most"))
    if not re.search("[A-Za-z0-9]", name) or not name.isprintable():
        fail(ConfigError(f"--name {name!r}: the run's id is made of it; give one with letters a-z or digits"))


def _check_data_path(data_path: str | None) -> None:
    """Ends the process for a place that means nothing to a node."""
    if data_path is not None and not (data_path.startswith("/") or "://" in data_path):
        fail(ConfigError(f"--data-path {data_path!r}: nodes have another working directory; give it from / on"))


def _checked_floors(config: PipelineConfig, floors: str | None) -> str | None:
    """The floors as they are given, found to be some; ends the process where they are none."""
    if floors is None:
        return None
    try:
        given: Any = json.loads(floors)
    except ValueError as error:
        fail(ConfigError(f'--floors {floors}: is no JSON ({error}); give floors as {{"AP": 0.4}}'))
    from efficientdet.blessing import Bounds

    try:
        Bounds.parse(config.blessing.to_dict() | {"floors": given}, source="--floors")
    except ConfigError as error:
        fail(error)
    return floors


def _show(runs: list[ClusterRun], with_nodes: bool) -> None:
    for run in runs:
        outcome = run.outcome.lower().replace("_", " ")
        parts = (run.created, run.state, run.id, run.name, outcome, _where(run), run.error)
        click.echo("  ".join(part for part in parts if part))
        for node, state in sorted(run.nodes.items()) if with_nodes else ():
            click.echo(f"  {state:<10} {node}")
    if not runs:
        click.echo("no runs", err=True)


def _where(run: ClusterRun) -> str:
    """Who is at which node of a run, and for how long; of one that has ended, where that was."""
    if run.state == "RUNNING":
        at = f"at {run.node} for {run.node_seconds:.0f} s" if run.node else ""
        early = "before its first node" if run.by and not run.nodes else ""
        return ", ".join(part for part in (run.by, at or early) if part)
    return f"at {run.node}" if run.node else ""


def _note_places(*places: str) -> None:
    """Says which folders of this machine the cluster must have too."""
    for place in (place.removeprefix("sqlite:///") for place in places):
        if "://" not in place:
            click.echo(f"note: every node must find {place} under this very path; mount it in the cluster", err=True)
