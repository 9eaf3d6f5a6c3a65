"""`efficientdet export`: the files in which a trained detector ships, each with its config and classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import example_shards, label_map_of, readable_shards
from efficientdet.errors import ConfigError, DataError
from efficientdet.format_name import FormatName

if TYPE_CHECKING:
    from efficientdet.config import Config
    from efficientdet.data.representative_dataset import RepresentativeDataset
    from efficientdet.label_map import LabelMap

# google/automl's flags that change nothing here, and why.
WITHOUT_EFFECT = {"model_name": "the detector knows its size", "batch_size": "every size of a batch is taken"}
_TFLITE = {"FP32": "tflite_float32", "FP16": "tflite_float16", "INT8": "tflite_int8"}


def _google_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Hidden options for flags of google/automl's `inspector --mode=export`."""
    for name in WITHOUT_EFFECT:
        command = click.option(f"--{name.replace('_', '-')}", hidden=True)(command)
    for name, kinds in (("tflite", _TFLITE), ("tensorrt", ("FP32", "FP16", "INT8"))):
        command = click.option(f"--{name}", type=click.Choice(["", *kinds]), hidden=True)(command)
    return click.option("--only-network", is_flag=True, hidden=True)(command)


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option(
    "--model",
    "--model-dir",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="A trained detector, or the folder of the run or the TFX artifact that holds it.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME",
    help=f"{', '.join(get_args(FormatName))}; may be repeated.  [export.formats]",
)
@click.option(
    "--output",
    "--saved-model-dir",
    required=True,
    type=LocalPath(file_okay=False),
    help="Folder for the files; an earlier export there is replaced.",
)
@click.option(
    "--examples", "--file-pattern", metavar="GLOB", help="Shards of examples whose images calibrate int8 formats."
)
@click.option("--image-size", metavar="N|WxH", help="Input of the network.  [that of the training]")
@click.option("--hparams", default="", metavar="YAML|K=V,...", help="Settings, by google/automl's names or ours.")
@click.option(
    "--set", "settings", multiple=True, metavar="K=V", help="A setting, as nms.max_detections=25; may be repeated."
)
@click.option(
    "--float-layers",
    multiple=True,
    metavar="PATTERN",
    help="Layers that int8 files keep in float, as blocks_0/*; may be repeated; quantize-report says which.",
)
@click.option("--num-calibration-steps", type=click.IntRange(1), metavar="N", help="Images that calibrate.  [200]")
@click.option(
    "--label-map",
    type=click.Path(path_type=Path),
    help="Folder of label_map.json, or a label_map.pbtxt.  [that of the shards]",
)
@_google_flags
def export(model: Path, output: Path, examples: str | None, label_map: Path | None, hparams: str, **flags: Any) -> None:
    """Write a trained detector as SavedModel, frozen graph, TensorRT or TFLite, with its config, classes and sums.

    Image size, suppression and thresholds may differ from the training's: --image-size 512, --set
    nms.score_threshold=0.3, nms.iou_threshold, nms.max_detections, nms.per_class. The config.yaml of the export says
    what was chosen.
    """
    with messages(), needs_tensorflow("exporting a detector"):
        from efficientdet.checkpoint import load_detector
        from efficientdet.export import check_export, export_bundle

        folder = _trained(model)
        config = _config(folder, hparams, flags)
        check_export(config, output)
        needy = _calibrated(config)
        if needy and not examples:
            raise ConfigError(
                f"{needy[0]}: int8 is calibrated with images, preferably those of the training; name shards of them "
                "with --examples, as in --examples 'examples/Split-train/*'"
            )
        shards = list(example_shards(examples)) if needy and examples else []
        network, config, labels = load_detector(folder, config.to_dict())
        with readable_shards(examples or ""):
            images: Iterable[Any] = _images(shards, config, labels, label_map) if shards else ()
            manifest = export_bundle(network, config, labels, images, output)
    _print(output, config, manifest)


def _trained(model: Path) -> Path:
    """The folder of the weights that `infer` would find; ModelError for a model that has been exported already."""
    from efficientdet.detector_file import CALLED, locate
    from efficientdet.errors import ModelError

    kind, place = locate(model)
    if kind != "checkpoint":
        raise ModelError(
            f"{place}: is {CALLED[kind]}, which has been exported already; give the folder of the training it is from"
        )
    return place


def _config(folder: Path, hparams: str, flags: dict[str, Any]) -> Config:
    """The detector's config with what is asked for in its place."""
    from efficientdet import config as config_file
    from efficientdet.config import Config
    from efficientdet.errors import ModelError
    from efficientdet.settings import read_yaml

    if not (folder / config_file.FILE_NAME).is_file():
        raise ModelError(f"{folder}: holds no {config_file.FILE_NAME}; give the folder a training run wrote")
    config = Config.load(folder / config_file.FILE_NAME)
    if hparams:
        config = config.override(hparams if "=" in hparams else Config.translate(read_yaml(hparams)))
    for name in [name for name in WITHOUT_EFFECT if flags[name]]:
        click.echo(f"--{name} has no effect here: {WITHOUT_EFFECT[name]}", err=True)
    if flags["only_network"]:
        config = config.override({"export": {"pre_mode": None, "post_mode": None}})
    if flags["image_size"] and flags["image_size"] != "-1":
        config = config.override({"model": {"image_size": flags["image_size"]}})
    if flags["num_calibration_steps"]:
        config = config.override({"export": {"calibration_images": flags["num_calibration_steps"]}})
    if flags["float_layers"]:
        config = config.override({"export": {"float_layers": list(flags["float_layers"])}})
    if formats := _formats(flags):
        config = config.override({"export": {"formats": formats}})
    return config.override(flags["settings"])


def _formats(flags: dict[str, Any]) -> list[str]:
    """The formats asked for; google/automl writes a SavedModel and a frozen graph besides what its flags name."""
    formats = list(flags["formats"])
    if flags["tflite"] or flags["tensorrt"]:
        formats += ["saved_model", "frozen_graph"]
    if flags["tflite"]:
        formats.append(_TFLITE[flags["tflite"]])
    if flags["tensorrt"]:
        formats.append(f"tensorrt_{flags['tensorrt'].lower()}")
    return formats


def _calibrated(config: Config) -> list[str]:
    """The formats whose making needs images."""
    from efficientdet.export_format import FORMATS

    return [name for name in config.export.formats if FORMATS[name].calibrated]


def _images(shards: list[str], config: Config, labels: LabelMap, label_map: Path | None) -> RepresentativeDataset:
    """The images to calibrate with; DataError when they are of other classes than the detector's."""
    from efficientdet.data.representative_dataset import RepresentativeDataset

    theirs = label_map_of(label_map, shards[0])
    if theirs.names != labels.names:
        raise DataError(
            f"{shards[0]}: its classes are {', '.join(theirs.names[:5])}... and the detector's "
            f"{', '.join(labels.names[:5])}...; give examples of the same classes"
        )
    return RepresentativeDataset(shards, config)


def _print(output: Path, config: Config, manifest: dict[str, Any]) -> None:
    """Where each format is, and how large."""
    from efficientdet.export_format import FORMATS

    for name in config.export.formats:
        place = FORMATS[name].place
        size = sum(entry["bytes"] for file, entry in manifest["files"].items() if file.split("/")[0] == place)
        click.echo(f"{output / place}: {name}, {size / 1e6:.1f} MB")
