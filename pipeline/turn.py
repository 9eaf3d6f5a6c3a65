"""A turn of a schedule: looks what there is to train, and begins the run that trains it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from components.run_parameters import DATA_PATH, EPOCHS
from efficientdet.errors import ConfigError, EfficientDetError
from pipeline.cluster import turn_name
from pipeline.cluster_run import ClusterClient, ClusterRun, open_client, open_scheduler, submit
from pipeline.compiled_spec import SUFFIXES, Engine
from pipeline.config import PipelineConfig
from pipeline.kubeflow_runner import compile_spec
from pipeline.parameters import SPAN, TURN, Parameters
from pipeline.schedule import Scheduled, Scheduler
from pipeline.span import newest_span
from pipeline.turn_spec import compile_turn


def set_schedule(config: PipelineConfig, engine: Engine, scheduler: Scheduler) -> Scheduled:
    """Makes or changes the pipeline's schedule, each turn of which is `take_turn`.

    What the engine does not have, and an end that is past, is refused with a ConfigError now, not by the first turn.
    """
    end = config.schedule.end
    if end and end <= datetime.now(UTC):
        raise ConfigError(f"schedule.end={end.isoformat()} is past, no turn would be taken; give a later one, or none")
    compile_spec(config, engine, data="")
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{turn_name(config.name)}{SUFFIXES[engine][0]}"
        compile_turn(config, engine).write(path, engine)
        return scheduler.put(path, config.name, config.schedule)


def take_turn(config: PipelineConfig, engine: Engine, turn: str = "") -> str:
    """Begins a run of the pipeline on the newest span, if that is not trained yet; a sentence of what was done.

    Args:
      config: of the pipeline.
      engine: that has its runs and its schedule.
      turn: the engine's id of this turn, which the run bears; empty for a turn that no schedule takes, which gets one.

    Raises:
      EfficientDetError: there is no span; the engine does not answer; or too many runs or turns failed in a row, in
        which case the schedule, if there is one, is paused.
    """
    client, scheduler = open_client(config, engine), open_scheduler(config, engine)
    trainings, turn = list(client.runs(config.name)), turn or uuid.uuid4().hex
    for run in trainings:
        if run.parameters.get(TURN) == turn:  # an engine tries a turn again of which it does not know that it went well
            return f"{config.name}: run {run.id} was begun by this turn already; nothing is begun"
    _pause_after_failures(config, client, scheduler, trainings)
    source, span = newest_span(config.source)
    if reason := _reason_to_wait(config, trainings, span):
        return f"{config.name}: {reason}; nothing is begun"
    name = " ".join([config.name, *(["span", span] if span else []), time.strftime("%Y-%m-%d %H-%M-%S")])
    recorded = {TURN: turn} | ({SPAN: span} if span else {})
    run = submit(config.model_copy(update={"source": source}), engine, recorded, name)
    return f"{config.name}: run {run.id} trains {f'span {span}' if span else 'the data as they are now'}"


def _pause_after_failures(
    config: PipelineConfig, client: ClusterClient, scheduler: Scheduler, trainings: list[ClusterRun]
) -> None:
    """Pauses the schedule, and says so as an error, if too many of its runs or of its turns failed in a row.

    Where there is none, it says so of the runs, and has no turns to look at.
    """
    schedule = scheduler.find(config.name)
    begun = [run for run in trainings if run.parameters.get(TURN) or run.state == "SUCCEEDED"]
    if schedule is None or schedule.state == "ENDED":
        if failed := _too_many(config, begun):
            raise EfficientDetError(
                f"{_told(config, failed, 'runs that turns began')}, so none is begun; see `status`, and go on when a "
                "run of `submit` succeeds"
            )
        return
    turns = client.runs(turn_name(config.name))
    for what, runs in (("runs of the schedule", begun), ("turns of the schedule", turns)):
        if failed := _too_many(config, runs, schedule.since):
            if schedule.state == "ACTIVE":
                scheduler.pause(config.name)
            raise EfficientDetError(
                f"{_told(config, failed, what)}, so it is paused; see `status`, and go on with `schedule resume`"
            )


def _too_many(config: PipelineConfig, runs: Iterable[ClusterRun], since: str = "") -> list[ClusterRun]:
    """The failures in a row, if they are as many as pause a schedule."""
    failed = failures_in_a_row(runs, since)
    return failed if len(failed) >= config.schedule.max_failures else []


def _told(config: PipelineConfig, failed: list[ClusterRun], what: str) -> str:
    why = f": {failed[0].error}" if failed[0].error else ""
    return f"{config.name}: the last {len(failed)} {what} failed ({_ids(failed)}{why})"


def failures_in_a_row(runs: Iterable[ClusterRun], since: str) -> list[ClusterRun]:
    """Of runs, the newest first, those that failed: back to one that succeeded, or is older than `since`, ISO 8601.

    Runs on their way, and those that somebody cancelled, say nothing.
    """
    failed = []
    for run in runs:
        if run.state == "SUCCEEDED" or _is_older(run, since):
            break
        if run.state == "FAILED":
            failed.append(run)
    return failed


def _is_older(run: ClusterRun, since: str) -> bool:
    """Whether a run began before; not where nobody says when it began."""
    return bool(since and run.created) and datetime.fromisoformat(run.created) < datetime.fromisoformat(since)


def _reason_to_wait(config: PipelineConfig, trainings: list[ClusterRun], span: str) -> str:
    """Why no run is begun now; empty for none."""
    for run in trainings if span else ():
        if _trains(config, run, span) and run.state in ("SUCCEEDED", "RUNNING"):
            done = "was trained already, by" if run.state == "SUCCEEDED" else "is being trained, by"
            return f"span {span}, the newest, {done} run {run.id}"
    running = [run for run in trainings if run.state == "RUNNING" and run.parameters.get(TURN)]
    most = config.schedule.max_concurrent
    if len(running) >= most:
        return f"{len(running)} of its runs are on their way ({_ids(running)}) and schedule.max_concurrent is {most}"
    return ""


def _trains(config: PipelineConfig, run: ClusterRun, span: str) -> bool:
    """Whether a run is of this span, below the same path, and of the same length; a run bears all three."""
    wanted, given = Parameters.of(config).values, run.parameters
    return given.get(SPAN) == span and all(given.get(name) == wanted[name] for name in (DATA_PATH, EPOCHS))


def _ids(runs: list[ClusterRun]) -> str:
    shown = ", ".join(run.id for run in runs[:5])
    return f"{shown}, ..." if len(runs) > 5 else shown
