"""After which steps of a run what is due."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from efficientdet.config import TrainingConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calendar:
    """After which steps what is due.

    examples: images of an epoch; steps: length of the run; checkpoint: steps between checkpoints; look: steps
    between looks at the scores, or 0; profile: first and last step to record, if any; at_once: steps in one go.
    """

    examples: int
    steps: int
    checkpoint: int
    look: int
    profile: tuple[int, int] | None
    at_once: int

    @classmethod
    def of(cls, training: TrainingConfig, steps: int, examples: int) -> Calendar:
        """The calendar of a run over so many examples."""
        profile = training.profile_steps
        if profile and profile[0] > steps:
            logger.warning("training.profile_steps=%s: the run ends at step %d; nothing is recorded", profile, steps)
        look = max(1, round(training.eval_epochs * examples / training.batch_size)) if training.eval_epochs else 0
        return cls(examples, steps, training.checkpoint_steps, look, profile, training.steps_per_execution)

    def checkpoint_due(self, step: int) -> bool:
        """Before each look too, which may take longer than a scheduler waits before it kills."""
        return step % self.checkpoint == 0 or step == self.steps or self.look_due(step)

    def look_due(self, step: int) -> bool:
        return bool(self.look) and step > 0 and (step % self.look == 0 or step == self.steps)

    def next_stop(self, step: int) -> int:
        """The last of the steps that can follow `step` in one go."""
        stops = [self.steps, step + self.at_once, step - step % self.checkpoint + self.checkpoint]
        if self.look:
            stops.append(step - step % self.look + self.look)
        # The profile starts before its first step and ends after its last.
        stops += [edge for edge in (self.profile[0] - 1, self.profile[1]) if edge > step] if self.profile else []
        return min(stops)
