"""`efficientdet-pipeline schedule`: when a cluster runs the pipeline by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from efficientdet.errors import ConfigError, EfficientDetError
from pipeline.cli_options import EXIT_USAGE, config_option, engine_option, fail, load, set_option

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
            except ConfigError as error:
                fail(error, EXIT_USAGE)
            except EfficientDetError as error:
                fail(error)

        return schedule.command(name, help=text)(config_option(set_option(engine_option(invoke))))

    return made


@_command("set", "Make the pipeline's schedule, or change it in place; a paused one stays paused.")
def set_(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    if config.schedule.cron is None:
        raise ConfigError("schedule.cron is not set; say when runs begin, as in '30 3 * * 1-5'")
    from pipeline.compiled_spec import SUFFIXES
    from pipeline.kubeflow_runner import compile_pipeline

    with TemporaryDirectory() as folder:
        spec = Path(folder) / f"{config.name}{SUFFIXES[engine][0]}"
        compile_pipeline(config, engine, spec)
        _show([scheduler.put(spec, config.name, config.schedule, {})])


@_command("list", "Show the schedules of all pipelines there, as JSON lines.")
def list_(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    _show(scheduler.all())


@_command("pause", "Begin no further runs until `resume`.")
def pause(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    scheduler.pause(config.name)


@_command("resume", "Begin runs again, from the next turn on.")
def resume(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    scheduler.resume(config.name)


@_command("delete", "Remove the schedule; runs that have begun go on.")
def delete(scheduler: Scheduler, config: PipelineConfig, engine: Engine) -> None:
    scheduler.delete(config.name)


def _show(found: list[Scheduled]) -> None:
    for each in found:
        record: dict[str, Any] = each._asdict()
        click.echo(json.dumps(record))
