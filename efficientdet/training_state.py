"""The checkpoints of one training run: the last few, and the best."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import tensorflow as tf

from efficientdet.atomic_file import write_file
from efficientdet.errors import ConfigError, ModelError, reason
from efficientdet.lock import lock

LAST, BEST = "step", "best"
SCORES_FILE = "scores.jsonl"

logger = logging.getLogger(__name__)
Scores = dict[str, float | None]


class StateFolder:
    """Checkpoints `step-N` and `best-N`, and the scores the best was chosen by.

    Checkpoints are TensorFlow's, their keys the names of `variables`: those of google/automl for the network, so
    that `efficientdet train --ckpt` starts from one as from any other.

    Args:
      folder: where they stand; need not exist.
      variables: what a checkpoint holds, by name.
      keep: how many of the last ones stay.
      writes: False for a process that only reads, as all workers but the chief do.

    Raises:
      ConfigError: another process is training here, or TensorFlow could not read from such a folder.
    """

    def __init__(self, folder: str | Path, variables: Mapping[str, tf.Variable], keep: int, writes: bool = True):
        if odd := sorted(set(str(folder)) & set("*?[]\\")):
            raise ConfigError(f"{folder}: TensorFlow takes {' '.join(odd)} for a pattern; name another folder")
        self.folder, self._variables, self._keep = Path(folder), variables, keep
        self._writes = writes
        self.scores: dict[int, Scores] = {}
        self._lock: IO[str] | None = lock(self.folder) if writes else None

    def close(self) -> None:
        """Lets other processes train here."""
        if self._lock:
            self._lock.close()

    def save(self, step: int, kind: str = LAST) -> None:
        """Writes a checkpoint, which appears complete or not at all, and removes those it replaces.

        Raises:
          ModelError: it cannot be written; those before are still there.
        """
        if not self._writes:
            return
        self._clear_partial()
        names, variables = zip(*self._variables.items(), strict=True)
        try:
            tf.raw_ops.SaveV2(
                prefix=str(self._path(kind, step)),
                tensor_names=list(names),
                shape_and_slices=[""] * len(names),
                tensors=[variable.read_value() for variable in variables],
            )
        except tf.errors.OpError as error:
            self._clear_partial()
            free = shutil.disk_usage(self.folder).free / 1e6
            raise ModelError(
                f"{self.folder}: the checkpoint of step {step} cannot be written ({reason(error)}; {free:.0f} MB are "
                "free); make room or correct the permissions, and the same command goes on"
            ) from error
        kept = self._keep if kind == LAST else 1
        for old in sorted(set(self._steps(kind)) - {step})[: -(kept - 1) or None]:
            self._remove(kind, old)

    def restore(self) -> int | None:
        """Loads the newest checkpoint that can be read, and the scores up to it: its step, or None without any.

        Raises:
          ModelError: there are checkpoints, but none can be read.
        """
        steps = sorted(self._steps(LAST), reverse=True)
        for step in steps:
            path = self._path(LAST, step)
            try:
                self._load(path)
            except ModelError as error:
                logger.warning("%s; damaged checkpoint skipped", error)
                continue
            logger.info("going on from step %d of %s", step, path)
            self._read_scores(step)
            return step
        if steps:
            raise ModelError(
                f"{self.folder}: none of the {len(steps)} checkpoints can be read; remove them to begin anew"
            )
        return None

    def restore_best(self) -> int | None:
        """Loads the checkpoint with the best score: its step, or None when nothing was scored.

        Raises:
          ModelError: it is gone or cannot be read.
        """
        measured = {step: scores["AP"] for step, scores in sorted(self.scores.items()) if scores["AP"] is not None}
        if not measured:
            return None
        step = max(measured, key=lambda step: measured[step])
        try:
            self._load(self._path(BEST, step))
        except ModelError as error:
            raise ModelError(f"{error}; set training.result=last to take the last weights instead") from error
        return step

    def add_scores(self, step: int, scores: Scores) -> bool:
        """Notes what was measured after `step`; saves a checkpoint if its AP is the best so far, and says so."""
        best = max((known["AP"] or 0.0 for known in self.scores.values()), default=-1.0)
        is_best = scores["AP"] is not None and scores["AP"] > best
        if is_best:
            self.save(step, BEST)
        self.scores[step] = scores
        self._write_scores()
        return is_best

    def looks_since_best(self) -> int:
        """How many of the last scores did not exceed the best before them."""
        values = [scores["AP"] or 0.0 for _, scores in sorted(self.scores.items())]
        return len(values) - 1 - values.index(max(values)) if values else 0

    def _clear_partial(self) -> None:
        for left in self.folder.glob("*.tempstate*"):
            left.unlink()

    def _path(self, kind: str, step: int) -> Path:
        return self.folder / f"{kind}-{step}"

    def _remove(self, kind: str, step: int) -> None:
        # The index first: without it, what remains of a kill in between is no checkpoint.
        for suffix in ("index", "data-00000-of-00001"):
            Path(f"{self._path(kind, step)}.{suffix}").unlink(missing_ok=True)

    def _steps(self, kind: str) -> list[int]:
        names = (file.name for file in self.folder.iterdir()) if self.folder.is_dir() else ()
        found = (re.fullmatch(rf"{kind}-(\d+)\.index", name) for name in names)
        return [int(match[1]) for match in found if match]

    def _load(self, path: Path) -> None:
        """Sets all variables, or none."""
        names, variables = zip(*self._variables.items(), strict=True)
        try:
            values = tf.raw_ops.RestoreV2(
                prefix=str(path),
                tensor_names=list(names),
                shape_and_slices=[""] * len(names),
                dtypes=[variable.dtype for variable in variables],
            )
        except (tf.errors.OpError, IndexError) as error:
            raise ModelError(f"{path}: cannot be read ({reason(error)})") from error
        for name, variable, value in zip(names, variables, values, strict=True):
            if variable.shape != value.shape:
                raise ModelError(f"{path}: is of another run ({name} is {value.shape} there, {variable.shape} here)")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _read_scores(self, step: int) -> None:
        path = self.folder / SCORES_FILE
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        try:
            entries = [json.loads(line) for line in lines]
            self.scores = {entry.pop("step"): entry for entry in entries if entry["step"] <= step}
        except (ValueError, TypeError, KeyError) as error:
            logger.warning("%s: cannot be read (%s); the best is chosen anew", path, reason(error))
        for found in self._steps(BEST) if self._writes else ():
            # Its scores are lost, or it is of steps that are done again and may come out otherwise.
            if found not in self.scores:
                self._remove(BEST, found)

    def _write_scores(self) -> None:
        if not self._writes:
            return
        lines = [json.dumps({"step": step, **scores}) for step, scores in sorted(self.scores.items())]
        write_file(self.folder / SCORES_FILE, "".join(f"{line}\n" for line in lines))
