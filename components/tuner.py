"""The stock TFX Tuner with our search behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx.components import Tuner
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult
from tfx.proto import trainer_pb2
from tfx.types import BaseChannel

from components.run_parameters import examples_digest
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.search_space import Tuning
from efficientdet.tune import Search


def detector_tuner(
    examples: BaseChannel, schema: BaseChannel, config: Config, tuning: Tuning, trials: str, fingerprint: str
) -> Tuner:
    """TFX's Tuner node; its `best_hyperparameters` are for the Trainer, its `tuner_results` list the trials.

    Args:
      examples: Examples with splits `train` and `eval`.
      schema: Schema of the examples.
      config: the detector whose hyperparameters are searched; part of the cache key.
      tuning: what to search, and for how many trials; likewise.
      trials: folder of the trials, keyed by the caller as the Trainer's checkpoints are, and below by the examples'
        content: a search that was interrupted, or has other bounds now, finds there what has been trained.
      fingerprint: hash of data, config, code and the weights to start from; as the Trainer's.
    """
    return Tuner(
        tuner_fn=f"{__name__}.{tuner_fn.__name__}",
        examples=examples,
        schema=schema,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config={
            "config": config.to_dict(),
            "tuning": tuning.to_dict(),
            "trials": trials,
            "fingerprint": fingerprint,
        },
    )


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """What TFX calls: the search, which it runs, and whose best hyperparameters it writes."""
    settings: dict[str, Any] = fn_args.custom_config
    examples = Path(fn_args.train_files[0]).parent.parent
    search = Search(
        Config.parse(settings["config"], source="Tuner"),
        Tuning.parse(settings["tuning"], source="Tuner"),
        LabelMap.load(examples),
        fn_args.train_files,
        fn_args.eval_files,
        trials=f"{settings['trials']}/{examples_digest(str(examples))}",
        directory=fn_args.working_dir,
    )
    return TunerFnResult(tuner=search, fit_kwargs={})
