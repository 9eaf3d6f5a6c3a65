"""`efficientdet-pipeline runs`: what ran on this machine, and what became of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import click

from efficientdet.errors import ConfigError, EfficientDetError
from pipeline.cli_options import config_option, fail, load, set_option

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.config import PipelineConfig
    from pipeline.run_history import Run


@click.command()
@click.argument("name", required=False, metavar="[RUN]")
@config_option
@set_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="Runs to show at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs(name: str | None, path: str, overrides: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List the runs of the pipeline on this machine, the newest first, or the nodes of one RUN (`last` for the newest).

    Exit code 2: bad usage, or there is no such run; 1: the metadata cannot be read.
    """
    config = load(path, overrides)
    try:
        found = list(islice(_found(config, name), limit))
    except EfficientDetError as error:
        fail(error)
    if as_json:
        click.echo(json.dumps([run.record() for run in found], indent=1))
        return
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(_nodes(found[0]) if name else _table(found))


def _found(config: PipelineConfig, name: str | None) -> Iterator[Run]:
    """All runs, or the one of this name."""
    from pipeline.run_history import history

    every = history(config)
    if name is None:
        yield from every
        return
    found = next((run for run in every if name in ("last", run.name)), None)
    if found is None:
        raise ConfigError(f"{name}: there is no such run of {config.name}; `runs` without it lists them")
    yield found


def _table(found: list[Run]) -> Table:
    from rich.table import Column, Table

    table = Table(Column("run", no_wrap=True), "started (UTC)", "nodes", "seconds", "last")
    for run in found:
        last = f"{run.last.name} {run.last.state.lower()}" if run.last else ""
        table.add_row(run.name, run.started, str(len(run.nodes)), f"{run.seconds:.1f}", last)
    return table


def _nodes(run: Run) -> Table:
    from rich.table import Table

    table = Table("node", "state", "seconds", title=f"{run.name}, started {run.started}")
    for node in run.nodes:
        table.add_row(node.name, node.state.lower(), f"{node.seconds:.1f}")
    return table
