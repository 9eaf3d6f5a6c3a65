"""Learning curves of a run for TensorBoard: losses, anchors per level, scores, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from efficientdet.trainer import Trainer

LOG_STEPS = 20
POSITIVES = "positives_p"  # and the level


class TrainingLog:
    """Writes to one folder of event files; nothing at all where `folder` is None.

    Args:
      folder: of the event files.
      trainer: the run that is logged.
    """

    def __init__(self, folder: str | Path | None, trainer: Trainer) -> None:
        self.folder = str(folder) if folder else None
        self._writer = tf.summary.create_file_writer(str(folder)) if folder else tf.summary.create_noop_writer()
        self._trainer, self._profiling = trainer, False

    def profile(self, step: int, steps: tuple[int, int] | None) -> None:
        """Starts TensorBoard's profile before the first of `steps`, and ends it after the last."""
        if not self.folder or not steps:
            return
        if step == steps[0] - 1 and not self._profiling:
            tf.profiler.experimental.start(self.folder)
            self._profiling = True
        elif step >= steps[1]:
            self.close()

    def close(self) -> None:
        """Ends a profile that is under way."""
        if self._profiling:
            tf.profiler.experimental.stop()
            self._profiling = False

    def losses(self, first: int, history: Mapping[str, Any]) -> None:
        """Some of the scalars `[n]` of the steps from `first` on: those of every `LOG_STEPS`th step."""
        count = len(history["total"])
        with self._writer.as_default():
            for i, step in enumerate(range(first, first + count)):
                if step % LOG_STEPS == 0 or step == self._trainer.steps:
                    self._one({name: float(values[i]) for name, values in history.items()}, step)

    def scores(self, step: int, scores: Mapping[str, float | None]) -> None:
        """COCO's numbers after a step; those that no groundtruth makes are left out."""
        with self._writer.as_default():
            for name, value in scores.items():
                if value is not None:
                    tf.summary.scalar(f"eval/{name}", value, step)

    def pictures(self, step: int, pictures: tf.Tensor) -> None:
        """Images `[n, h, w, 3]` uint8 with what the network detects in them."""
        with self._writer.as_default():
            tf.summary.image("detections", pictures, step, max_outputs=len(pictures))
            self._writer.flush()

    def _one(self, scalars: Mapping[str, float], step: int) -> None:
        positives = {int(name.removeprefix(POSITIVES)): n for name, n in scalars.items() if name.startswith(POSITIVES)}
        for name, value in scalars.items():
            if name == "gradient_norm":
                tf.summary.scalar(name, value, step)
            elif not name.startswith(POSITIVES):
                tf.summary.scalar(f"loss/{name}", value, step)
        # A count per level, as a histogram whose value is the level.
        levels = np.repeat(list(positives), [int(count) for count in positives.values()])
        tf.summary.histogram("positive_anchors_by_level", levels, step, buckets=len(positives))
        tf.summary.scalar("learning_rate", float(self._trainer.optimizer.learning_rate), step)
