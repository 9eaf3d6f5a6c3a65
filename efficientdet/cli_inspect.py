"""`efficientdet inspect`: pictures of what a network would be shown, for a look before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import SHARDS_HELP, example_shards, label_map_of, readable_shards
from efficientdet.cli_train import DEFAULT_MODEL, detector_config


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option("--examples", "--file-pattern", required=True, metavar="GLOB", help=SHARDS_HELP)
@click.option(
    "--output",
    "--save-samples-dir",
    required=True,
    type=LocalPath(file_okay=False),
    help="Folder for the pictures and samples.json.",
)
@click.option("--augment", is_flag=True, help="As training changes them, with the anchors that each level learns from.")
@click.option("--samples", default=10, show_default=True, type=click.IntRange(min=1), help="How many pictures.")
@click.option("--model-name", metavar="NAME", help=f"As `efficientdet models --architectures` lists. [{DEFAULT_MODEL}]")
@click.option("--hparams", default="", metavar="YAML|K=V,...", help="Settings, by google/automl's names or ours.")
@click.option(
    "--label-map",
    type=click.Path(path_type=Path),
    help="Folder of label_map.json, or a label_map.pbtxt.  [that of the shards]",
)
@click.option("--seed", "tf_random_seed", type=int, help="Which images, and how they are changed.")
def inspect(
    examples: str, output: Path, augment: bool, samples: int, hparams: str, label_map: Path | None, **flags: Any
) -> None:
    """Draw examples as the network sees them: fitted into its input, with their boxes.

    Without --augment as in evaluation, crowd boxes marked; with it as in training, without what is not learnt.
    """
    with messages(), needs_tensorflow("reading examples"):
        config = detector_config(hparams, flags)
        from efficientdet.inspect import inspect as draw_samples

        shards = example_shards(examples)
        labels = label_map_of(label_map, next(iter(shards)))
        with readable_shards(examples):
            drawn = draw_samples(list(shards), config, labels, output, samples, augment)
    click.echo(f"{output}: {drawn} pictures, their boxes in samples.json")
