"""`efficientdet quantize-report`: which layers lose most in int8, and what keeping some in float would gain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from efficientdet.atomic_file import write_json
from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import SHARDS_HELP, example_shards, readable_shards

if TYPE_CHECKING:
    from efficientdet.config import Config
    from efficientdet.detector_file import Kind
    from efficientdet.label_map import LabelMap
    from efficientdet.quantize_report import QuantizeReport


@click.command("quantize-report")
@click.option(
    "--model",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="A trained detector, the folder of the run that made it, or an export with a SavedModel.",
)
@click.option("--examples", required=True, metavar="GLOB", help=f"{SHARDS_HELP} They calibrate, as in an export.")
@click.option(
    "--float-layers", multiple=True, metavar="PATTERN", help="Layers to keep in float, as blocks_0/*; may be repeated."
)
@click.option("--images", default=20, show_default=True, type=click.IntRange(min=1), help="Images that are compared.")
@click.option("--worst", default=15, show_default=True, type=click.IntRange(min=1), help="Layers to list.")
@click.option("--json", "json_file", type=LocalPath(dir_okay=False), help="File for all layers, for scripts.")
def quantize_report(
    model: Path, examples: str, float_layers: tuple[str, ...], images: int, worst: int, json_file: Path | None
) -> None:
    """Show what each layer loses in int8, the worst first, and what arrives at the network's answers.

    The remedy for a bad layer is to keep it in float: try it here with --float-layers, then export with the same.
    """
    with messages(), needs_tensorflow("quantising a detector"):
        report = _report(model, examples, float_layers, images)
    if json_file:
        write_json(json_file, report.to_dict())
    _print(report, worst)


def _report(model: Path, examples: str, float_layers: tuple[str, ...], images: int) -> QuantizeReport:
    from itertools import islice

    from efficientdet.data.representative_dataset import RepresentativeDataset
    from efficientdet.quantize_report import quantize_report
    from efficientdet.tflite import TFLiteWriter

    kind, place = _quantisable(model)
    shards = list(example_shards(examples))
    network, config, labels = _detector(kind, place)
    patterns = float_layers or config.export.float_layers
    with readable_shards(examples):
        dataset = RepresentativeDataset(shards, config)
        with TFLiteWriter(network, config, labels) as writer:
            calibrated = writer.calibrated(dataset, raw=True, float_layers=patterns)
            return quantize_report(calibrated, islice(dataset, images), patterns)


def _quantisable(model: Path) -> tuple[Kind, Path]:
    """What `infer` would find in `model`; ModelError for a file whose network cannot be converted any more."""
    from efficientdet.detector_file import CALLED, locate
    from efficientdet.errors import ModelError

    kind, place = locate(model)
    if kind not in ("checkpoint", "saved_model"):
        raise ModelError(
            f"{place}: is {CALLED[kind]}, whose layers cannot be converted again; give the folder of the training or "
            "an export with a SavedModel"
        )
    return kind, place


def _detector(kind: Kind, place: Path) -> tuple[Any, Config, LabelMap]:
    """The network of a checkpoint, or of a SavedModel: then with the weights in it."""
    from efficientdet.bundle import ASSETS_FOLDER
    from efficientdet.checkpoint import load_detector
    from efficientdet.detector_file import described
    from efficientdet.model.detector import build_detector
    from efficientdet.transfer import load_checkpoint

    if kind == "checkpoint":
        return load_detector(place)
    config, labels = described(place / ASSETS_FOLDER, place)
    network = build_detector(config, len(labels))
    load_checkpoint(network, place, labels.names, labels.names)
    return network, config, labels


def _print(report: QuantizeReport, worst: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from efficientdet.quantize_report import SUSPICIOUS

    layers = Table("layer", "noise / signal", "error in steps", "step", title="Added by the layer itself")
    for error in report.layers[:worst]:
        layers.add_row(error.layer, f"{error.noise:.2%}", f"{error.steps:.2f}", f"{error.scale:.3g}")
    outputs = Table("answer", "noise / signal", "root mean square", title="Arriving at the answers")
    for arrived in report.outputs:
        outputs.add_row(arrived.output, f"{arrived.noise:.2%}", f"{arrived.rmse:.3g}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(layers, outputs)
    click.echo(f"{report.images} images; in float: {', '.join(report.float_layers) or 'nothing'}")
    if report.suspects:
        tries = " ".join(f"--float-layers '{name}'" for name in report.patterns_to_try)
        click.echo(f"{len(report.suspects)} layers add {SUSPICIOUS:.1%} of noise or more; try {tries}")
    else:
        click.echo(f"no layer adds {SUSPICIOUS:.1%} of noise or more: int8 fits them all")
