"""A Beam job whose workers write shards, run again without what is done when its engine loses it."""

from __future__ import annotations

import argparse
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult

from efficientdet.errors import EfficientDetError

LOOK_SECONDS = 30
"""How often the shards are counted at least: a listing of one folder."""

logger = logging.getLogger(__name__)

S = TypeVar("S")


class ShardWriter(Protocol[S]):
    """A beam.DoFn that writes a shard into files below the folder `uri`, whole or not at all.

    Names and contents depend on the shard alone, so work may be repeated. The name of a shard is its `str`.
    """

    uri: str

    def missing(self, shards: Sequence[S]) -> list[S]:
        """Those that are not written yet."""


class ShardOptions(PipelineOptions):
    """What this job reads from Beam's arguments besides Beam's own; they change no result, so no cache key either."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--shard_retries", type=int, default=2, help="Further jobs after one that failed.")
        parser.add_argument(
            "--shard_patience", type=float, default=1800.0, help="Seconds without a new shard that make a job lost."
        )


class LostJobError(EfficientDetError):
    """A job does nothing any more, and its engine does not say so."""


def write_shards(make_pipeline: Callable[[], beam.Pipeline], shards: Sequence[S], writer: ShardWriter[S]) -> None:
    """Has the workers of a Beam engine write shards, those that are written already excepted.

    A job that fails or gets lost, as with a killed worker where the engine starts no other, is run again for what it
    left, `--shard_retries` times, each waited for `--shard_patience` longer than the one before.

    Args:
      make_pipeline: an empty pipeline with the arguments of the engine; called for each job.
      shards: all there are.
      writer: what a worker does with each.

    Raises:
      EfficientDetError: the last job failed or got lost, or ended well without writing below `writer.uri`.
    """
    tried, retries, missing = 0, 0, writer.missing(shards)
    while missing and tried <= retries:
        pipeline = make_pipeline()
        options = pipeline.options.view_as(ShardOptions)
        tried, retries = tried + 1, options.shard_retries
        shard_job(pipeline, missing, writer)
        try:
            _finish(pipeline, lambda: len(writer.missing(shards)), tried * options.shard_patience)
            _require_all(shards, writer)
        except Exception as error:
            missing = writer.missing(shards)
            ours = isinstance(error, EfficientDetError) and not isinstance(error, LostJobError)
            if missing and (ours or tried > retries):
                raise
            said = " ".join(str(error).split())[-500:]
            logger.warning("job %d ended with %d of %d shards missing: %s", tried, len(missing), len(shards), said)
        else:
            return


def _require_all(shards: Sequence[S], writer: ShardWriter[S]) -> None:
    """Raises EfficientDetError when the workers of a job that went well wrote somewhere else."""
    if missing := writer.missing(shards):
        raise EfficientDetError(
            f"{writer.uri}: the Beam job is done, but {len(missing)} of {len(shards)} shards are not there, as"
            f" {missing[0]}; name a folder (`root`, --output) that every worker has under this path"
        )


def shard_job(pipeline: beam.Pipeline, shards: Sequence[S], writer: Any) -> beam.PCollection:
    """The transforms, the same for every engine: the names of the shards that were written."""
    return pipeline | "Shards" >> beam.Create(shards) | "Spread" >> beam.Reshuffle() | "Write" >> beam.ParDo(writer)


def _finish(pipeline: beam.Pipeline, left: Callable[[], int], patience: float) -> None:
    """Runs a job to its end, or until nothing is left for it to do.

    Raises what the job does, or LostJobError when `left` has stayed the same for `patience` seconds: Beam's own job
    service and its worker processes on one machine wait for ever for a worker that was killed.
    """
    job, ended = _start(pipeline)
    before, since = left(), time.monotonic()
    while True:
        try:
            error = ended.get(timeout=min(patience / 4, LOOK_SECONDS))
            break
        except queue.Empty:
            if (now := left()) != before:
                before, since = now, time.monotonic()
            elif not now:
                _cancel(job)
                return
            elif time.monotonic() - since > patience:
                _cancel(job)
                raise LostJobError(
                    f"the Beam job wrote no new shard for {patience:g} seconds and {now} are missing; look at its"
                    " engine, or give it longer with beam.patience"
                ) from None
    if error:
        raise error


def _start(pipeline: beam.Pipeline) -> tuple[PipelineResult | None, queue.SimpleQueue[Exception | None]]:
    """A running job, if its engine gives a handle before its end, and where its error appears, or None, at the end."""
    # Of FnApiRunner it is `run` that waits; others start the job there, and some insist on the main thread for it.
    job: PipelineResult | None = None if isinstance(pipeline.runner, FnApiRunner) else pipeline.run()
    ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def wait() -> None:
        try:
            (job or pipeline.run()).wait_until_finish()
            ended.put(None)
        except Exception as error:
            ended.put(error)

    threading.Thread(target=wait, name="beam-job", daemon=True).start()
    return job, ended


def _cancel(job: PipelineResult | None) -> None:
    """Tells the engine to end a job, as far as it can still hear it."""
    try:
        if job:
            job.cancel()
    except Exception as error:
        logger.warning("the lost job cannot be cancelled (%s)", error)
