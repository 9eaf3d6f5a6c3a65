"""The loop of one run: steps, and between them checkpoints, scores, and the reasons to stop."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from efficientdet.anchors import anchors_for
from efficientdet.data.input_pipeline import Share, step_ids, training_batches, undecodable_ids
from efficientdet.distribute import distributed_batches, of_all_workers
from efficientdet.errors import ConfigError, DataError, DivergedError, PreemptedError, reason
from efficientdet.evaluate import Evaluation
from efficientdet.pictures import PictureLog
from efficientdet.preflight import out_of_memory
from efficientdet.progress import StepProgress
from efficientdet.signals import Termination
from efficientdet.trainer import Trainer
from efficientdet.training_calendar import Calendar
from efficientdet.training_log import TrainingLog
from efficientdet.training_state import Scores, StateFolder

# The loss scale is halved at each: from Keras' first, 2**15, to less than float16's smallest normal number, 2**-14.
MOST_OVERFLOWS = 30

logger = logging.getLogger(__name__)


class TrainingLoop:
    """Brings a trainer from where it stands to the end of its run.

    Args:
      trainer: the run.
      saves: its checkpoints.
      pattern: file patterns of the training shards.
      calendar: what is due when.
      evaluation: scores the network on the eval split; None where another process does.
      pictures: draws what it detects; None likewise.
      log: learning curves.
    """

    def __init__(
        self,
        trainer: Trainer,
        saves: StateFolder,
        pattern: str | Sequence[str],
        calendar: Calendar,
        evaluation: Evaluation | None,
        pictures: PictureLog | None,
        log: TrainingLog,
    ) -> None:
        self._trainer, self._saves, self._pattern, self._calendar = trainer, saves, pattern, calendar
        self._evaluation, self._pictures, self._log = evaluation, pictures, log
        self._training = trainer.config.training
        self._overflows = 0  # steps in a row whose gradients float16 could not hold

    def batches(self) -> Iterator[Any]:
        """The global batches from where the trainer stands."""
        config, start = self._trainer.config, self._trainer.steps_done
        anchors, total = anchors_for(config), self._calendar.examples

        def batches(share: Share) -> tf.data.Dataset:
            return training_batches(self._pattern, config, anchors, start, share, total)

        return iter(distributed_batches(self._trainer.strategy, batches))

    def run(self) -> None:
        """Trains to the end of the calendar, or until scores no longer improve.

        Raises:
          DivergedError: a loss or a gradient is not finite; the last checkpoint is from before.
          ConfigError: the device has no memory left. DataError: an image cannot be decoded.
          PreemptedError: SIGTERM came; all is saved.
        """
        step, total = self._trainer.steps_done, self._calendar.steps
        batches = self.batches()
        with (
            Termination() as termination,
            StepProgress(total, step, self._training.batch_size) as progress,
            closing(self._log),
        ):
            # The look may be what a kill left undone, or have said already that this is enough.
            enough = self._calendar.look_due(step) and self._look(step, termination)
            while step < total and not enough:
                step, last_loss = self._go(batches, step)
                progress.update(step, last_loss)
                saved = self._calendar.checkpoint_due(step)
                if saved:
                    self._saves.save(step)
                    self._draw(step)
                if any(of_all_workers(self._trainer.strategy, termination.asked)) and step < total:
                    raise self._preempted(step, saved)
                enough = self._calendar.look_due(step) and self._look(step, termination)

    def _go(self, batches: Iterator[Any], step: int) -> tuple[int, float]:
        """Steps in one go: the step reached, and its loss."""
        stop = self._calendar.next_stop(step)
        self._log.profile(step, self._calendar.profile)
        with self._named(step, stop):
            done = self._trainer.run(batches, tf.constant(stop - step))
            history = {name: values.numpy() for name, values in done.items()}
        self._log.profile(stop, self._calendar.profile)
        self._check_finite(step + 1, history)
        self._log.losses(step + 1, history)
        return stop, float(history["total"][-1])

    @contextmanager
    def _named(self, step: int, stop: int) -> Iterator[None]:
        """Puts what TensorFlow says of the steps after `step`, up to `stop`, into a sentence."""
        try:
            yield
        except tf.errors.ResourceExhaustedError as error:
            raise ConfigError(out_of_memory(self._trainer)) from error
        except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
            bad = undecodable_ids(self._pattern, self._trainer.config, step, stop)
            if not bad:
                raise
            raise DataError(
                f"step {step + 1} to {stop}: the image {', '.join(bad[:8])} cannot be decoded ({reason(error)}); "
                "make the examples again, which leaves such images out"
            ) from error

    def _look(self, step: int, termination: Termination) -> bool:
        """Scores the averaged weights unless they are; True when they have not improved for long enough."""
        if step not in self._saves.scores:
            scores = self._scores(step, termination)
            is_best, ap = self._saves.add_scores(step, scores), scores["AP"]
            shown = "n/a" if ap is None else f"{ap:.4f}"
            logger.info("step %d: AP %s%s", step, shown, ", the best so far" if is_best else "")
        patience = self._training.patience
        if patience is None:
            return False
        # The chief knows the scores to more digits than the others.
        if not any(of_all_workers(self._trainer.strategy, self._saves.looks_since_best() >= patience)):
            return False
        logger.info("step %d: no better AP in %d looks; training ends here (training.patience)", step, patience)
        return True

    def _scores(self, step: int, termination: Termination) -> Scores:
        """COCO's numbers of the eval split; where another process measures them, the AP alone."""
        scores: Scores = {"AP": None}
        if self._evaluation:
            with self._trainer.average.in_use():
                scores = self._evaluation(between=termination.check).metrics
            self._log.scores(step, scores)
        ap = max(of_all_workers(self._trainer.strategy, -1.0 if scores["AP"] is None else scores["AP"]))
        return scores if self._evaluation else {"AP": None if ap < 0 else ap}

    def _draw(self, step: int) -> None:
        if self._pictures:
            with self._trainer.average.in_use():
                self._log.pictures(step, self._pictures.draw(self._trainer.model))

    def _preempted(self, step: int, saved: bool) -> PreemptedError:
        if not saved:
            self._saves.save(step)
        return PreemptedError(f"step {step}: stopped by SIGTERM, everything is saved; the same command goes on")

    def _check_finite(self, first: int, history: Mapping[str, np.ndarray]) -> None:
        watched = {name: history[name] for name in (*self._trainer.losses, "gradient_norm")}
        if self._training.precision == "float16":
            # Overflows now and then, which the loss scale answers.
            self._check_overflows(first, watched.pop("gradient_norm"))
        for i in range(len(history["total"])):
            if bad := [name for name, values in watched.items() if not math.isfinite(values[i])]:
                raise DivergedError(self._diverged(first + i, bad))

    def _check_overflows(self, first: int, norms: np.ndarray) -> None:
        for i, norm in enumerate(norms):
            self._overflows = 0 if math.isfinite(norm) else self._overflows + 1
            if self._overflows == MOST_OVERFLOWS:
                raise DivergedError(self._diverged(first + i, [f"gradient_norm, for {MOST_OVERFLOWS} steps,"]))

    def _diverged(self, step: int, bad: Sequence[str]) -> str:
        ids = step_ids(self._pattern, self._trainer.config, step)
        shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        return (
            f"step {step}: {', '.join(bad)} is not finite, on the images {shown}; the last checkpoint is kept, "
            f"lower training.learning_rate (now {self._training.learning_rate:g}) or lengthen training.warmup_epochs"
        )
