"""The verb `tune`: trainings with different hyperparameters, of which the best by AP are found; resumable."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import BayesianOptimizationOracle
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from efficientdet.anchor_suggestion import box_shapes, ratios_text, suggest_anchors
from efficientdet.atomic_file import write_json
from efficientdet.config import Config
from efficientdet.config.model import AspectRatio
from efficientdet.data.survey import survey
from efficientdet.errors import DataError, DivergedError, ModelError
from efficientdet.evaluate import Evaluation
from efficientdet.label_map import LabelMap
from efficientdet.search_space import ASPECT_RATIOS, LEARNING_RATE, Choice, Tuning, config_key
from efficientdet.train import train

OUTCOME_FILE = "outcome.json"
Outcome = dict[str, Any]
"""What came of a trial: its `values`, and COCO's `metrics` or the sentence of its `failure`."""
logger = logging.getLogger(__name__)


class Search(BaseTuner):
    """A search that `search()` begins, or goes on with, and whose best is `get_best_hyperparameters()[0]`.

    The first trial has the configured values, brought into their ranges; the next ones are drawn at random, and when
    there are three for each hyperparameter, by Bayesian optimisation. The seed is the training's, so a search that is
    repeated tries the same. A trial that diverges has failed, and the search goes on.

    What came of a trial is kept in a folder named by its config, its checkpoints until then: a search that was
    killed, or that asks for more trials, trains only what has not been trained yet.

    Args:
      config: the detector, and how to train it.
      tuning: what to vary, and for how many trials.
      label_map: the classes of the examples.
      train_pattern, eval_pattern: file patterns of example shards.
      trials: folder of the trials of this very data, code and config.
      directory: for what keras-tuner writes; emptied.

    Raises:
      DataError: there is no box to learn from or to judge by.
    """

    def __init__(
        self,
        config: Config,
        tuning: Tuning,
        label_map: LabelMap,
        train_pattern: str | Sequence[str],
        eval_pattern: str | Sequence[str],
        trials: str | Path,
        directory: str | Path,
    ) -> None:
        if not survey(eval_pattern).boxes:
            raise DataError(f"{eval_pattern}: the eval split holds no box, and trials are judged by boxes; add some")
        self._config, self._tuning, self._label_map = config, tuning, label_map
        self._patterns, self._folder = (train_pattern, eval_pattern), Path(trials)
        self.outcomes: dict[str, Outcome] = {}
        oracle = Optimiser(
            objective=keras_tuner.Objective(tuning.objective, "max"),
            max_trials=tuning.trials,
            hyperparameters=search_space(config, tuning, train_pattern),
            seed=config.training.seed + 1,  # 0 would be replaced by a random one
            max_consecutive_failed_trials=tuning.trials + 1,
        )
        oracle.verbose = 0
        # Outcomes are kept here: keras-tuner's files can be half written, and its optimiser would go on otherwise
        # than without the interruption.
        super().__init__(oracle, directory=str(directory), project_name="search", overwrite=True)

    def search(self, *_: Any, **__: Any) -> None:
        """Runs the trials; those that are done come from their folders.

        Raises:
          ModelError: no trial succeeded.
          ConfigError, DataError, PreemptedError: as `train`, whatever the hyperparameters.
        """
        # keras-tuner's own loop takes every error for a failed trial, a full disk or SIGTERM too.
        while (trial := self.oracle.create_trial(self.tuner_id)).status != TrialStatus.STOPPED:
            outcome = self.run_trial(trial)
            self.outcomes[trial.trial_id] = outcome
            number, of, objective = len(self.outcomes), self._tuning.trials, self._tuning.objective
            logger.info("trial %d of %d: %s", number, of, _sentence(outcome, objective))
            if "metrics" in outcome:
                self.oracle.update_trial(trial.trial_id, {objective: outcome["metrics"][objective]})
            trial.status = TrialStatus.COMPLETED if "metrics" in outcome else TrialStatus.FAILED
            self.oracle.end_trial(trial)
        failures = [outcome["failure"] for outcome in self.outcomes.values() if "failure" in outcome]
        if len(failures) == len(self.outcomes):
            raise ModelError(f"not one of {len(failures)} trials succeeded; the first: {failures[0]}")

    def run_trial(self, trial: Trial, *_: Any, **__: Any) -> Outcome:
        """What came of a trial, which is trained and judged unless it was before."""
        values = dict(trial.hyperparameters.values)
        config = self._tuning.trial(self._config, values)
        folder = self._folder / config_key(config)
        return _read(folder) or _write(folder, {"values": values, **self._attempt(config, folder)})

    def _attempt(self, config: Config, folder: Path) -> Outcome:
        train_pattern, eval_pattern = self._patterns
        places = {"checkpoints": folder / "checkpoints", "logs": folder / "logs"}
        try:
            model = train(config, self._label_map, train_pattern, eval_pattern, **places)
            return {"metrics": Evaluation(model, config, self._label_map, eval_pattern)().metrics}
        except DivergedError as error:
            return {"failure": str(error)}
        finally:
            keras.utils.clear_session()  # or the networks of all trials stay in memory

    def search_space_summary(self, extended: bool = False) -> None:
        """Logs what is searched."""
        for name, (low, high) in self._tuning.ranges.items():
            logger.info("searching %s from %g to %g", name, low, high)
        if self._tuning.aspect_ratios:
            [ratios] = [each for each in self.oracle.get_space().space if each.name == ASPECT_RATIOS]
            logger.info("searching %s among %s", ASPECT_RATIOS, " ".join(ratios.values))

    def results_summary(self, num_trials: int | None = None) -> None:
        """Prints a table of all trials, whatever `num_trials` says."""
        best = self.oracle.get_best_trials(1)[0].trial_id
        Console(stderr=True, width=160).print(_table(self.outcomes, best, self._tuning.objective))


class Optimiser(BayesianOptimizationOracle):
    """Bayesian optimisation that tries the defaults first, so that no search ends with worse."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The values of the next trial, and that it can run; or that all have been tried."""
        if self.trials:
            return super().populate_space(trial_id)
        return {"status": TrialStatus.RUNNING, "values": {hp.name: hp.default for hp in self.hyperparameters.space}}


def search_space(config: Config, tuning: Tuning, train_pattern: str | Sequence[str]) -> keras_tuner.HyperParameters:
    """What a search varies, by names of the config; defaults are the configured values, as near as bounds allow.

    Aspect ratios are texts in YAML. `suggested` ones fit the boxes of the training shards.
    """
    space = keras_tuner.HyperParameters()
    for name, (low, high) in tuning.ranges.items():
        group, _, field = name.partition(".")
        default = min(max(getattr(getattr(config, group), field), low), high)
        sampling = "log" if name == LEARNING_RATE else "linear"
        space.Float(name, low, high, sampling=sampling, default=default)
    ratios: dict[frozenset[AspectRatio], str] = {}
    for choice in tuning.aspect_ratios or ():
        chosen = _aspect_ratios(choice, config, train_pattern)
        ratios.setdefault(frozenset(chosen), ratios_text(chosen))
    if ratios:
        configured = ratios.get(frozenset(config.model.aspect_ratios))
        space.Choice(ASPECT_RATIOS, list(ratios.values()), default=configured)
    return space


def _aspect_ratios(choice: Choice, config: Config, train_pattern: str | Sequence[str]) -> tuple[AspectRatio, ...]:
    if choice == "configured":
        return config.model.aspect_ratios
    if choice == "suggested":
        return suggest_anchors(box_shapes(train_pattern, config), config).suggested.aspect_ratios
    return choice


def _read(folder: Path) -> Outcome | None:
    path = folder / OUTCOME_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _write(folder: Path, outcome: Outcome) -> Outcome:
    """Keeps what came of a trial, instead of its checkpoints."""
    write_json(folder / OUTCOME_FILE, outcome)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return outcome


def _sentence(outcome: Outcome, objective: str) -> str:
    values = ", ".join(f"{name} {_shown(value)}" for name, value in outcome["values"].items())
    if "failure" in outcome:
        return f"failed with {values}: {outcome['failure']}"
    return f"{objective} {outcome['metrics'][objective]:.4f} with {values}"


def _table(outcomes: Mapping[str, Outcome], best: str, objective: str) -> Table:
    names = list(dict.fromkeys(name for outcome in outcomes.values() for name in outcome["values"]))
    table = Table("trial", objective, *names, "")
    for number, (trial_id, outcome) in enumerate(outcomes.items(), start=1):
        score = f"{outcome['metrics'][objective]:.4f}" if "metrics" in outcome else "failed"
        remark = "best" if trial_id == best else outcome.get("failure", "")
        table.add_row(str(number), score, *(escape(_shown(outcome["values"][name])) for name in names), escape(remark))
    return table


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"
