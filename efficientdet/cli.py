"""`efficientdet`: what a user of trained models types. Every verb loads what it needs when it is called."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

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
from efficientdet.cli_models import models
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_pull import pull
from efficientdet.cli_quantize_report import quantize_report
from efficientdet.cli_to_coco import to_coco
from efficientdet.cli_train import train
from efficientdet.errors import EfficientDetError

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
cli.add_command(models)
cli.add_command(pull)


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
