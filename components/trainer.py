"""The stock TFX Trainer with our training loop behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx.components import Trainer
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.proto import trainer_pb2
from tfx.types import BaseChannel

from efficientdet.checkpoint import save_detector
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.search_space import config_key, with_values
from efficientdet.train import train


def detector_trainer(
    examples: BaseChannel,
    schema: BaseChannel,
    config: Config,
    checkpoints: str,
    fingerprint: str,
    hyperparameters: BaseChannel | None = None,
) -> Trainer:
    """TFX's Trainer node; its `model` holds weights, config and label map, its `model_run` TensorBoard's logs.

    Args:
      examples: Examples with splits `train` and `eval`.
      schema: Schema of the examples.
      config: the detector, and in `model` the checkpoint to start from; part of the cache key.
      checkpoints: folder of this training's checkpoints. TFX gives a restarted Trainer a new output
        folder, so the caller keys this one by data, config, code and the weights to start from.
      fingerprint: hash of the same. TFX's own cache key knows only inputs and parameters: of the code and of a
        checkpoint's bytes it sees nothing.
      hyperparameters: the Tuner's best, which take the place of the config's own.
    """
    return Trainer(
        run_fn=f"{__name__}.{run_fn.__name__}",
        examples=examples,
        schema=schema,
        hyperparameters=hyperparameters,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config={"config": config.to_dict(), "checkpoints": checkpoints, "fingerprint": fingerprint},
    )


def run_fn(fn_args: FnArgs) -> None:
    """What TFX calls: trains on the `train` split and writes the detector to `fn_args.serving_model_dir`."""
    settings: dict[str, Any] = fn_args.custom_config
    config = Config.parse(settings["config"], source="Trainer")
    checkpoints = Path(settings["checkpoints"])
    if fn_args.hyperparameters:
        config = with_values(config, fn_args.hyperparameters["values"])
        checkpoints /= config_key(config)
    label_map = LabelMap.load(Path(fn_args.train_files[0]).parent.parent)
    model = train(
        config,
        label_map,
        fn_args.train_files,
        fn_args.eval_files,
        checkpoints=checkpoints,
        logs=fn_args.model_run_dir,
    )
    save_detector(fn_args.serving_model_dir, model, config, label_map)
