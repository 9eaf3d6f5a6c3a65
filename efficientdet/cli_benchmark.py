"""`efficientdet benchmark`: how long a model takes on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from efficientdet.atomic_file import write_json
from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath

if TYPE_CHECKING:
    from efficientdet.benchmark import Report

_SHOWN = ("first", "mean", "p50", "p90", "p99", "max", "cpu")


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option(
    "--model",
    "--model-dir",
    "--saved-model-dir",
    "--tflite-path",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="A training run's folder, a SavedModel, a frozen graph or a TFLite file.",
)
@click.option(
    "--mode", "modes", multiple=True, type=click.Choice(["network", "end-to-end"]), help="May be repeated.  [both]"
)
@click.option("--batch-size", "batches", multiple=True, type=click.IntRange(1), help="May be repeated.  [1]")
@click.option("--threads", type=click.IntRange(0), default=0, help="That it may use.  [all cores]")
@click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="Mixed precision of a checkpoint.",
)
@click.option("--xla", "--use-xla", is_flag=True, help="Compile a checkpoint's network by XLA.")
@click.option(
    "--set", "settings", multiple=True, metavar="K=V", help="A checkpoint's setting, as model.image_size=512."
)
@click.option(
    "--image",
    "--input-image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The picture, one and the same throughout.  [640x480 of coloured blocks]",
)
@click.option("--runs", "--bm-runs", default=50, show_default=True, type=click.IntRange(1), help="That count.")
@click.option("--warm-up", default=5, show_default=True, type=click.IntRange(1), help="Runs before, that do not count.")
@click.option("--json", "output", type=LocalPath(dir_okay=False), help="Write the numbers there too.")
@click.option("--only-network", is_flag=True, hidden=True)
def benchmark(
    model: Path,
    modes: tuple[str, ...],
    batches: tuple[int, ...],
    threads: int,
    image: Path | None,
    output: Path | None,
    only_network: bool,
    **others: Any,
) -> None:
    """Time a model: its network alone, and all from pictures in memory to detections in their pixels.

    Both are run in turn, so that other work on the machine falls upon both. The first run is shown by itself: it
    prepares much. CPU is what all threads spent.
    """
    with messages(), needs_tensorflow("timing this model"):
        from efficientdet.benchmark import MODES, Plan
        from efficientdet.benchmark import benchmark as run
        from efficientdet.image_source import read_image

        wanted = {"network"} if only_network else {mode.replace("-", "_") for mode in modes} or set(MODES)
        report = run(
            Plan(
                model,
                modes=[mode for mode in MODES if mode in wanted],
                batches=tuple(dict.fromkeys(batches)) or (1,),
                threads=threads or None,
                picture=read_image(image) if image else None,
                **others,
            )
        )
        _print(report)
        if output:
            write_json(output, report.record())


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    height, width = report.input_size
    threads = f"{report.threads} thread{'s' if report.threads > 1 else ''}"
    table = Table("milliseconds", "images", *(_SHOWN), "images/s", title=f"{report.model} {width}x{height}, {threads}")
    for row in report.rows:
        summary = row.latency.summary()
        cells = (f"{summary[f'{name}_ms']:.1f}" for name in _SHOWN)
        table.add_row(row.mode.replace("_", " "), str(row.batch), *cells, f"{row.images_per_second:.1f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    for batch, overhead in report.overheads():
        click.echo(f"{batch} at a time: {overhead:+.1%} over the network alone")
