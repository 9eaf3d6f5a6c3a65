"""What the Trainer takes and gives; `executor.py` and `training.py` say how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import BaseChannel, Channel, standard_artifacts
from tfx.types.standard_component_specs import TrainerSpec
from tfx.utils import json_utils

from components.run_parameters import TRAINING_PARAMETERS
from components.trainer import training
from components.trainer.executor import Executor
from efficientdet.config import Config


class DetectionTrainerSpec(TrainerSpec):
    """TFX's TrainerSpec, and what a run of a compiled pipeline may set anew."""

    PARAMETERS = {**TrainerSpec.PARAMETERS, **TRAINING_PARAMETERS}  # noqa: RUF012 TFX's own form


class Trainer(base_component.BaseComponent):
    """Trains a detector; its `model` holds weights, config and label map, its `model_run` TensorBoard's logs."""

    SPEC_CLASS = DetectionTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        schema: BaseChannel | None,
        custom_config: Mapping[str, Any],
        hyperparameters: BaseChannel | None = None,
        run_parameters: Mapping[str, Any] | None = None,
        as_custom_job: bool = False,
    ) -> None:
        """The node of a pipeline; `detector_trainer` makes it.

        Args:
          examples: Examples with splits `train` and `eval`.
          schema: Schema of the examples.
          custom_config: what `training.run_fn` and, for a custom job, TFX's executor read.
          hyperparameters: the Tuner's best, which take the place of the config's own.
          run_parameters: `data_path`, `epochs` and `compiled`, of `components.run_parameters`.
          as_custom_job: whether the node only starts a job of Vertex AI and waits for it.
        """
        spec = DetectionTrainerSpec(
            run_fn=f"{training.__name__}.{training.run_fn.__name__}",
            examples=examples,
            schema=schema,
            hyperparameters=hyperparameters,
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
            custom_config=json_utils.dumps(dict(custom_config)),
            model=Channel(type=standard_artifacts.Model),
            model_run=Channel(type=standard_artifacts.ModelRun),
            **(run_parameters or {}),
        )
        super().__init__(spec=spec, custom_executor_spec=_job_starter() if as_custom_job else None)


def _job_starter() -> executor_spec.ExecutorClassSpec:
    from components.trainer.custom_job import Executor as Starter  # with Google's clients, which take seconds to import

    return executor_spec.ExecutorClassSpec(Starter)


def detector_trainer(
    examples: BaseChannel,
    schema: BaseChannel,
    config: Config,
    checkpoints: str,
    fingerprint: str,
    hyperparameters: BaseChannel | None = None,
    run_parameters: Mapping[str, Any] | None = None,
    job: Mapping[str, Any] | None = None,
) -> Trainer:
    """The Trainer of a config.

    Args:
      examples: Examples with splits `train` and `eval`.
      schema: Schema of the examples.
      config: the detector, and in `model` the checkpoint to start from; part of the cache key.
      checkpoints: folder of this training's checkpoints. TFX gives a restarted Trainer a new output
        folder, so the caller keys this one by data, config, code and the weights to start from.
      fingerprint: hash of the same. TFX's own cache key knows only inputs and parameters: of the code and of a
        checkpoint's bytes it sees nothing.
      hyperparameters: the Tuner's best, which take the place of the config's own.
      run_parameters: for a compiled pipeline, `data_path`, `epochs` and `compiled` of `components.run_parameters`.
      job: for a custom job of Vertex AI, what `custom_job.job_settings` makes.
    """
    settings = {"config": config.to_dict(), "checkpoints": checkpoints, "fingerprint": fingerprint}
    return Trainer(examples, schema, settings | dict(job or {}), hyperparameters, run_parameters, bool(job))
