"""`efficientdet`: what a user of trained models types. Every verb loads what it needs when it is called."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from efficientdet import __version__
from efficientdet.cli_benchmark import benchmark
from efficientdet.cli_check import check
from efficientdet.cli_compare import compare
from efficientdet.cli_demo_page import demo_page
from efficientdet.cli_evaluate import evaluate
from efficientdet.cli_export import export
from efficientdet.cli_infer import infer
from efficientdet.cli_inspect import inspect
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_quantize_report import quantize_report
from efficientdet.cli_registry import registry_option
from efficientdet.cli_to_coco import to_coco
from efficientdet.cli_train import train
from efficientdet.errors import EfficientDetError

if TYPE_CHECKING:
    from rich.table import Table

    from efficientdet.registry import ModelVersion

FOLDER = LocalPath(file_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="efficientdet")
def cli() -> None:
    """EfficientDet: train detectors, pull registered ones and run them."""


cli.add_command(train)
cli.add_command(evaluate)
cli.add_command(compare)
cli.add_command(export)
cli.add_command(infer)
cli.add_command(benchmark)
cli.add_command(quantize_report)
cli.add_command(inspect)
cli.add_command(check)
cli.add_command(to_coco)
cli.add_command(demo_page)


@cli.command()
@registry_option
@click.option("--architectures", is_flag=True, help="List the network sizes that can be trained instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def models(registry: str, architectures: bool, as_json: bool) -> None:
    """List the registered models, newest versions first."""
    if architectures:
        from dataclasses import asdict

        from efficientdet.architectures import ARCHITECTURES, COSTS

        sizes = [asdict(size) | COSTS[name]._asdict() for name, size in ARCHITECTURES.items()]
        return _print_json(sizes) if as_json else _print_table(_architecture_table(sizes))
    from efficientdet.registry import open_registry

    versions = open_registry(registry).versions()
    if as_json:
        return _print_json([_version_record(version) for version in versions])
    if not versions:
        return click.echo(f"{registry}: no model is registered there yet")
    return _print_table(_version_table(versions))


@cli.command()
@click.argument("reference", metavar="NAME[@ALIAS|@VERSION]")
@click.option("--output", required=True, type=FOLDER, help="Folder to pull into; an earlier pull there is replaced.")
@click.option(
    "--format",
    "file_format",
    default="tflite",
    show_default=True,
    type=click.Choice(["tflite", "saved_model", "all"]),
    help="Which of the model's files.",
)
@click.option("--variant", default="int8", show_default=True, help="Which of its TFLite files, as float16.")
@click.option(
    "--thresholds", is_flag=True, help="Have the TFLite's clients drop what scores below its class's best threshold."
)
@registry_option
def pull(reference: str, output: Path, file_format: str, variant: str, thresholds: bool, registry: str) -> None:
    """Fetch a registered model (its champion unless told otherwise) and verify its sums."""
    from efficientdet.pulled_model import pull as pull_model
    from efficientdet.registry import open_registry

    version = pull_model(open_registry(registry), reference, output, file_format, variant, thresholds)
    click.echo(f"{version} is in {output}, sums verified")


@cli.command("demo-data")
@click.option("--output", required=True, type=FOLDER, help="New folder to write the COCO data set into.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="The same seed, the same bytes.")
@click.option("--images", type=click.IntRange(min=1), help="Training images; a sixth as many for evaluation.  [600]")
def demo_data(output: Path, seed: int, images: int | None) -> None:
    """Write a small data set of scattered handwritten digits (needs scikit-learn)."""
    from efficientdet.data.demo import write_demo_data

    counts = None if images is None else {"train": images, "eval": max(1, images // 6)}
    write_demo_data(output, seed=seed, images=counts)
    click.echo(f"demo data is in {output}")


def main() -> None:
    """The `efficientdet` program: errors a user can mend are one sentence on stderr and exit code 1."""
    try:
        cli()
    except EfficientDetError as error:
        click.echo(f"efficientdet: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"efficientdet: {_sentence(error)}", err=True)
        sys.exit(1)


def _sentence(error: OSError) -> str:
    """What the operating system refused; some of its errors name no file."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        cause = f"{error.strerror}; make room, or write elsewhere"
    else:
        cause = f"{error.strerror}; check the path and who may write there" if error.strerror else str(error)
    return f"{error.filename}: {cause}" if error.filename else cause


def _print_json(records: list[dict[str, Any]]) -> None:
    click.echo(json.dumps(records, indent=1, ensure_ascii=False))


def _print_table(table: Table) -> None:
    """The table; into a file or pipe at a width that cuts no name."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _version_record(version: ModelVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "metrics": version.metrics,
        "created": version.created.isoformat(timespec="seconds"),
        "bytes": version.size,
        "content": version.content,
        "tags": dict(version.tags),
    }


def _version_table(versions: list[ModelVersion]) -> Table:
    from rich.table import Table

    table = Table("name", "version", "alias", "AP float", "AP int8", "size", "created")
    for version in versions:
        ap = [version.metrics.get(part, {}).get("AP") for part in ("float", "int8")]
        table.add_row(
            version.name,
            version.version,
            ", ".join(version.aliases),
            *("n/a" if value is None else f"{value:.3f}" for value in ap),
            f"{version.size / 1e6:.1f} MB",
            f"{version.created.astimezone():%Y-%m-%d %H:%M}",
        )
    return table


def _architecture_table(sizes: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("name", "image", "parameters", "FLOPs", "backbone", "BiFPN", "heads")
    for size in sizes:
        height, width = size["image_size"]
        table.add_row(
            size["name"],
            f"{width}x{height}",
            f"{size['parameters'] / 1e6:.1f} M",
            f"{size['flops'] / 1e9:.2f} G",
            size["backbone"],
            f"{size['fpn_filters']} x {size['fpn_repeats']}",
            str(size["head_repeats"]),
        )
    table.caption = "With 90 classes; FLOPs are multiply-adds per image, as in the paper."
    return table
