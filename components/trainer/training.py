"""The function that TFX's Trainer calls: our training loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx.components.trainer.fn_args_utils import FnArgs

from efficientdet.checkpoint import save_detector
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.search_space import config_key, with_values
from efficientdet.train import train


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the `train` split and writes the detector to `fn_args.serving_model_dir`."""
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
