"""The loop of one run: steps, and between them checkpoints, scores, and the reasons to stop."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efficientdet.anchors import anchors_for
from efficientdet.data.input_pipeline import Share, step_ids, training_batches
from efficientdet.distribute import distributed_batches, from_chief
from efficientdet.errors import ModelError, PreemptedError
from efficientdet.evaluate import Evaluation
from efficientdet.pictures import PictureLog
from efficientdet.progress import StepProgress
from efficientdet.signals import Termination
from efficientdet.trainer import Trainer
from efficientdet.training_calendar import Calendar
from efficientdet.training_log import TrainingLog
from efficientdet.training_state import StateFolder

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
          ModelError: a loss or a gradient is not finite; the last checkpoint is from before.
          PreemptedError: SIGTERM came; all is saved.
        """
        step, total = self._trainer.steps_done, self._calendar.steps
        batches = self.batches()
        with Termination() as termination, StepProgress(total, step, self._training.batch_size) as progress:
            # What a kill between a checkpoint and its scores left undone.
            enough = self._look(step) if self._calendar.look_due(step) and step not in self._saves.scores else False
            while step < total and not enough:
                step, last_loss = self._go(batches, step)
                progress.update(step, last_loss)
                saved = self._calendar.checkpoint_due(step)
                if saved:
                    self._saves.save(step)
                    self._draw(step)
                if from_chief(self._trainer.strategy, termination.asked, any_worker=True) and step < total:
                    raise self._preempted(step, saved)
                enough = self._calendar.look_due(step) and self._look(step)

    def _go(self, batches: Iterator[Any], step: int) -> tuple[int, float]:
        """Steps in one go: the step reached, and its loss."""
        stop = self._calendar.next_stop(step)
        self._log.profile(step, self._calendar.profile)
        history = {
            name: values.numpy() for name, values in self._trainer.run(batches, tf.constant(stop - step)).items()
        }
        self._log.profile(stop, self._calendar.profile)
        self._check_finite(step + 1, history)
        self._log.losses(step + 1, history)
        return stop, float(history["total"][-1])

    def _look(self, step: int) -> bool:
        """Scores the averaged weights; True when they have not improved for long enough."""
        ap: float | None = None
        if self._evaluation:
            with self._trainer.averaged():
                scores = self._evaluation().metrics
            ap = scores["AP"]
            self._log.scores(step, scores)
        ap = from_chief(self._trainer.strategy, -1.0 if ap is None else ap)
        scores = scores if self._evaluation else {"AP": None if ap < 0 else ap}
        is_best = self._saves.add_scores(step, scores)
        logger.info("step %d: AP %s%s", step, f"{ap:.4f}" if ap >= 0 else "n/a", ", the best so far" if is_best else "")
        patience = self._training.patience
        if patience is None or self._saves.looks_since_best() < patience:
            return False
        logger.info("step %d: no better AP in %d looks; training ends here (training.patience)", step, patience)
        return True

    def _draw(self, step: int) -> None:
        if self._pictures:
            with self._trainer.averaged() as model:
                self._log.pictures(step, self._pictures.draw(model))

    def _preempted(self, step: int, saved: bool) -> PreemptedError:
        if not saved:
            self._saves.save(step)
        return PreemptedError(f"step {step}: stopped by SIGTERM, everything is saved; the same command goes on")

    def _check_finite(self, first: int, history: Mapping[str, np.ndarray]) -> None:
        watched = {name: history[name] for name in (*self._trainer.losses, "gradient_norm")}
        if self._training.precision == "float16":
            del watched["gradient_norm"]  # overflows now and then, which the loss scale answers
        for i in range(len(history["total"])):
            if bad := [name for name, values in watched.items() if not math.isfinite(values[i])]:
                raise ModelError(self._diverged(first + i, bad))

    def _diverged(self, step: int, bad: Sequence[str]) -> str:
        ids = step_ids(self._pattern, self._trainer.config, step)
        shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        return (
            f"step {step}: {', '.join(bad)} is not finite, on the images {shown}; the last checkpoint is kept, "
            f"lower training.learning_rate (now {self._training.learning_rate:g}) or lengthen training.warmup_epochs"
        )
