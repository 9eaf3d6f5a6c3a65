"""`efficientdet-pipeline schedule`: when a cluster runs the pipeline by itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from efficientdet.errors import ConfigError, EfficientDetError
from pipeline.cli_options import (
    EXIT_FAILED,
    config_file,
    config_option,
    engine_option,
    fail,
    load,
    set_option,
)

if TYPE_CHECKING:
    from pipeline.compiled_spec import Engine
    from pipeline.config import PipelineConfig
    from pipeline.schedule import Scheduled, Scheduler


@click.group()
def schedule() -> None:
    """Run the pipeline on a cluster by the clock, as the config's `schedule` block says."""


def _command(name: str, text: str) -> Callable[[Callable[[Scheduler, PipelineConfig, Engine], None]], click.Command]:
    """A command of the group; its function gets the engine's scheduler."""

    def made(work: Callable[[Scheduler, PipelineConfig, Engine], None]) -> click.Command:
        def invoke(path: str, overrides: tuple[str, ...], engine: Engine) -> None:
            config = load(path, overrides)
            from pipeline.cluster_run import open_scheduler

            try:
                work(open_scheduler(config, engine), config, engine)
            except EfficientDetError as error:
                fail(error)

        return schedule.command(name, help=text)(config_option(set_option(engine_option(invoke))))

    return made


@_command("set", "Make the pipeline's schedule, or change it in place; a paused one stays paused.")
def set_(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    if config.schedule.cron is None:
        raise ConfigError("schedule.cron is not set; say when runs begin, as in '30 3 * * 1-5'")
    from pipeline.turn import set_schedule

    _show([set_schedule(config, engine, scheduler)])


@_command("list", "Show the schedules of all pipelines there, as JSON lines.")
def list_(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    _show(scheduler.all())


@_command("pause", "Begin no further runs until `resume`.")
def pause(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    scheduler.pause(config.name)


@_command("resume", "Begin runs again, from the next turn on; earlier failures are forgotten.")
def resume(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    scheduler.resume(config.name)


@_command("delete", "Remove the schedule; runs that have begun go on.")
def delete(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    scheduler.delete(config.name)


@schedule.command()
@engine_option
@click.option("--config", "path", type=config_file, help="YAML file.")
@set_option
@click.option("--settings", metavar="JSON", help="The config itself, instead of --config.")
@click.option("--run", "run_id", default="", help="Id of the run that this turn is, where a schedule takes it.")
def turn(engine: Engine, path: str | None, overrides: tuple[str, ...], settings: str | None, run_id: str) -> None:
    """Begin a run on the newest span, unless it is trained: what a schedule does in each of its turns.

    Exit code 0: begun, or nothing to do, and says which; 1: failed, as for a span that is not there; 2: bad usage.
    """
    if (path is None) == (settings is None):
        fail(ConfigError("give the pipeline's --config, or its --settings, and not both"))
    config = load(path, overrides) if path else _parsed(settings or "")
    from pipeline.turn import take_turn

    try:
        click.echo(take_turn(config, engine, run_id))
    except EfficientDetError as error:
        click.echo(f"error: {error}", err=True)
        _report(config, run_id, str(error))
        sys.exit(EXIT_FAILED)


def _parsed(settings: str) -> PipelineConfig:
    from pipeline.config import PipelineConfig

    try:
        values = json.loads(settings)
    except ValueError as error:
        fail(ConfigError(f"--settings: is no JSON ({error})"))
    if not isinstance(values, dict):
        fail(ConfigError(f"--settings: holds {type(values).__name__}, but must hold an object of settings"))
    try:
        return PipelineConfig.parse(values, source="--settings")
    except ConfigError as error:
        fail(error)


def _report(config: PipelineConfig, run_id: str, error: str) -> None:
    """Tells those who are told of runs that a turn failed."""
    if config.cluster.report_to and run_id:
        from components.outcome_reporter import as_outcome, tell
        from pipeline.cluster import turn_name

        try:
            tell(config.cluster.report_to, as_outcome(turn_name(config.name), run_id, "FAILED", error))
        except (EfficientDetError, OSError) as untold:
            click.echo(f"note: {untold}", err=True)


def _show(found: list[Scheduled]) -> None:
    for each in found:
        record: dict[str, Any] = each._asdict()
        click.echo(json.dumps(record))
