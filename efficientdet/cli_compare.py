"""`efficientdet compare`: which of two detectors is better on one split, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from efficientdet.atomic_file import write_json
from efficientdet.cli_contenders import chunks, models_on_examples, print_scores, results_on_annotations
from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_numbers import NumberRange
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import label_map_option

if TYPE_CHECKING:
    from efficientdet.bootstrap import Interval
    from efficientdet.coco_metric import ImageMatches
    from efficientdet.scored_image import ScoredImage

_PATH = click.Path(exists=True, path_type=Path)


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.argument("a", type=_PATH)
@click.argument("b", type=_PATH)
@click.option("--examples", metavar="GLOB", help="Shards of TFRecords, for models.")
@click.option(
    "--annotations", type=_PATH, help="Groundtruth as COCO JSON; needed for result files.  [that of the examples]"
)
@click.option("--metric", default="AP", show_default=True, metavar="NAME", help="What decides, of COCO's twelve.")
@click.option("--samples", default=1000, show_default=True, type=click.IntRange(min=100), help="Draws of the images.")
@click.option("--confidence", default=0.95, show_default=True, type=NumberRange(0.5, 0.999), help="Of the interval.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Equal seeds, equal draws.")
@click.option("--json", "output", type=LocalPath(dir_okay=False), help="Write the numbers there too.")
@label_map_option
def compare(
    a: Path,
    b: Path,
    examples: str | None,
    annotations: Path | None,
    metric: str,
    samples: int,
    confidence: float,
    seed: int,
    output: Path | None,
    label_map: Path | None,
) -> None:
    """Compare two models on the same examples, or two COCO result files on the same annotations.

    Tells by how much A is better than B, and the interval that a paired bootstrap over the images gives: whether the
    difference is more than another draw of images would make.
    """
    from efficientdet.bootstrap import paired_interval
    from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator
    from efficientdet.progress import Watched

    if metric not in COCO_METRICS:
        raise click.BadParameter(f"{metric!r} is none of {', '.join(COCO_METRICS)}", param_hint="--metric")
    paths = {"A": a, "B": b}
    with messages(), needs_tensorflow("judging a detector"):
        if examples:
            contest = models_on_examples(paths, examples, annotations, label_map)
        elif annotations:
            contest = results_on_annotations(paths, annotations)
        else:
            raise click.UsageError("give --examples for two models, or --annotations for two COCO result files")
        matches = _matched(Watched(contest.images, contest.total, "compared"), tuple(paths))
    metrics = {name: CocoAccumulator(found).compute().metrics for name, found in matches.items()}
    interval = paired_interval(matches["A"], matches["B"], metric, samples, confidence, seed)
    print_scores({f"{name}: {path.name}": metrics[name] for name, path in paths.items()}, f"{contest.total} images")
    click.echo(_verdict(interval, metric, confidence))
    if output:
        asked = {"metric": metric, "samples": samples, "confidence": confidence, "seed": seed}
        sides = {name: {"path": str(path), "metrics": metrics[name]} for name, path in paths.items()}
        record = {"images": contest.total, **sides, **asked, "interval": interval and interval._asdict()}
        write_json(output, record)


def _matched(images: Iterable[ScoredImage], contenders: Sequence[str]) -> dict[str, list[ImageMatches]]:
    """The images of each contender, matched."""
    from efficientdet.coco_metric import match_images

    matches: dict[str, list[ImageMatches]] = {name: [] for name in contenders}
    for some in chunks(images):
        for name, found in matches.items():
            found += match_images([image.scene(name) for image in some])
    return matches


def _verdict(interval: Interval | None, metric: str, confidence: float) -> str:
    if interval is None:
        return f"{metric} of A - B: n/a, as no groundtruth makes one"
    difference, low, high = (f"{value:+.4f}" for value in interval)
    if interval.low <= 0 <= interval.high:
        meaning = "within what another draw of images may change"
    else:
        meaning = f"{'A' if interval.low > 0 else 'B'} is better by more than another draw of images would change"
    return f"{metric} of A - B: {difference}, {100 * confidence:g} % interval {low} to {high}: {meaning}"
