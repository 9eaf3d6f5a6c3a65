"""`efficientdet train`: google/automl's training command, on shards of examples, without the pipeline around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import example_shards, label_map_of, readable_shards
from efficientdet.errors import ConfigError

if TYPE_CHECKING:
    from efficientdet.config import Config

DEFAULT_MODEL = "efficientdet-d0"
PROFILE_STEPS = [10, 20]
# google/automl's flags that change nothing here, and why.
WITHOUT_EFFECT = {
    "eval_samples": "the whole split is judged",
    "val_json_file": "the examples hold their boxes",
    "num_examples_per_epoch": "the examples are counted",
    "eval_master": "no other server takes part",
    "eval_name": "there is one evaluation",
    "worker": "TF_CONFIG names the workers",
    "worker_index": "TF_CONFIG numbers the workers",
    "num_cores": "the TPU says how many cores it has",
    "debug": "the step is always compiled",
    "use_fake_data": "the examples are what is learnt from",
}
MODES = {"train": False, "traineval": True, "train_and_eval": True}


def _google_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Hidden options for flags that are in many a script; switches may be given bare, with a value, or as --no..."""
    for name in WITHOUT_EFFECT:
        command = click.option(f"--{name.replace('_', '-')}", is_flag=False, flag_value="true", hidden=True)(command)
    for name in ("use-xla", "debug", "use-fake-data", "profile"):
        command = click.option(f"--no{name}", is_flag=True, hidden=True)(command)
    for name in ("gcp-project", "tpu-zone"):
        command = click.option(f"--{name}", metavar="NAME", hidden=True)(command)
    return command


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option("--model-name", metavar="NAME", help=f"As `efficientdet models --architectures` lists. [{DEFAULT_MODEL}]")
@click.option(
    "--train-file-pattern", required=True, metavar="GLOB", help="Shards of TFRecords to learn from, gzip or plain."
)
@click.option("--val-file-pattern", metavar="GLOB", help="Shards to measure the AP on, and to draw.  [no AP]")
@click.option("--model-dir", required=True, type=LocalPath(file_okay=False), help="Where all goes to.")
@click.option("--hparams", default="", metavar="YAML|K=V,...", help="Settings, by google/automl's names or ours.")
@click.option(
    "--label-map",
    type=click.Path(path_type=Path),
    help="Folder of label_map.json, or a label_map.pbtxt.  [that of the shards]",
)
@click.option("--ckpt", "--pretrained-ckpt", "--hub-module-url", metavar="PATH|URI", help="Detector to start from.")
@click.option("--ckpt-classes", metavar="coco|voc|waymo|FILE", help="Its classes, to carry them over by name.")
@click.option("--backbone-ckpt", metavar="PATH|URI", help="Backbone to start from; null: random.  [imagenet]")
@click.option(
    "--batch-size",
    type=lambda text: text if text == "auto" else int(text),
    metavar="N|auto",
    help="Images per step; auto: 64, in parts that fit into memory.  [64]",
)
@click.option("--num-epochs", type=float, help="Passes over the examples, those of earlier runs included.  [300]")
@click.option("--mode", type=click.Choice([*MODES, "eval"]), help="train: without looks at the AP.  [traineval]")
@click.option("--strategy", help="gpus: all of this machine; workers: those of TF_CONFIG; tpu.  [one device]")
@click.option("--tpu", metavar="NAME|ADDRESS", help="The TPU.  [this machine's]")
@click.option("--use-xla", is_flag=False, flag_value="true", help="Compile the step with XLA.")
@click.option("--steps-per-execution", type=int, help="Steps between two looks at losses, files and signals.  [1]")
@click.option("--tf-random-seed", type=int, help="Seed of initial weights, order and augmentation.  [0]")
@click.option("--profile", is_flag=False, flag_value="true", help="Record steps 10 to 20 for TensorBoard's profiler.")
@_google_flags
def train(
    train_file_pattern: str,
    val_file_pattern: str | None,
    model_dir: Path,
    hparams: str,
    label_map: Path | None,
    **flags: Any,
) -> None:
    """Train a detector on shards of examples, with google/automl's options, spelled with - or _.

    MODEL_DIR gets the trained detector, its checkpoints and TensorBoard's logs. Given the same options again,
    training goes on from the last checkpoint; with a larger --num-epochs, for so many more. Options win over
    --hparams.
    """
    with messages(), needs_tensorflow("training"):
        config = detector_config(hparams, flags)
        if not val_file_pattern:
            config = _without_scores(config, flags.get("mode"))
        from efficientdet.checkpoint import save_detector
        from efficientdet.distribute import is_first_worker
        from efficientdet.initial_weights import check_initial_weights
        from efficientdet.run_folder import RunFolder
        from efficientdet.train import train as train_detector

        shards = example_shards(train_file_pattern)
        val_shards = example_shards(val_file_pattern) if val_file_pattern else shards
        labels = label_map_of(label_map, next(iter(shards)))
        chief = is_first_worker(config.training)
        with closing(RunFolder(model_dir)) as run:
            if not run.begun:
                check_initial_weights(config.model)
            if chief:
                run.claim(config, labels, shards | val_shards)
            with readable_shards(train_file_pattern):
                model = train_detector(config, labels, list(shards), list(val_shards), run.checkpoints, run.logs)
            if chief:
                save_detector(run.detector, model, config, labels)
                click.echo(f"{run.detector}: the detector after {run.steps} steps")


def _without_scores(config: Config, mode: str | None) -> Config:
    """The config for a training that has no examples to be judged by: those to learn from would flatter it."""
    training = config.training
    asked = {"--mode": mode and MODES[mode], "training.patience": training.patience}
    asked["training.result=best"] = training.result == "best"
    for name in [name for name, wanted in asked.items() if wanted]:
        raise ConfigError(f"{name}: needs examples to measure an AP on; give them with --val-file-pattern")
    return config.override({"training": {"eval_epochs": 0}})


def detector_config(hparams: str, flags: Mapping[str, Any]) -> Config:
    """The settings of the flags over those of `hparams`, a YAML file or `k=v,...`, over the defaults."""
    from efficientdet.config import Config
    from efficientdet.settings import merge, read_yaml

    given = {name: value for name, value in flags.items() if value is not None and name[:2] != "no"}
    mode = given.pop("mode", None)
    if mode == "eval":
        raise ConfigError("--mode=eval: training and judging are two commands; use `efficientdet evaluate`")
    if mode and not MODES[mode]:
        given["map_freq"] = 0
    if given.pop("profile", "false") == "true":
        given["training"] = {"profile_steps": PROFILE_STEPS}
    for name in [name for name in WITHOUT_EFFECT if given.pop(name, None)]:
        click.echo(f"--{name} has no effect here: {WITHOUT_EFFECT[name]}", err=True)
    name = given.get("model_name", DEFAULT_MODEL)
    config = Config.parse({"model": {"name": name}}, source="--model-name")
    if "=" in hparams:
        config = config.override(hparams)
    elif hparams:
        config = Config.parse(merge(config.to_dict(), read_yaml(hparams)), source=hparams)
    if "ckpt_classes" in given:
        config = config.override({"model": {"weights_classes": given.pop("ckpt_classes")}})
    # google/automl's names, which the config understands.
    values = {name: None if value in ("", "null", "none") else value for name, value in given.items()}
    return Config.parse(merge(config.to_dict(), values), source="options")
