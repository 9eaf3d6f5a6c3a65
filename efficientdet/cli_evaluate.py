"""`efficientdet evaluate`: COCO's numbers of a trained detector, as google/automl's users ask for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import example_shards, label_map_of, readable_shards
from efficientdet.errors import DataError

if TYPE_CHECKING:
    from efficientdet.coco_metric import CocoScores
    from efficientdet.label_map import LabelMap

DETECTOR = "detector"  # of a run's folder


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option(
    "--model",
    "--model-dir",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A trained detector, or the folder of the run that made it.",
)
@click.option(
    "--examples", "--val-file-pattern", required=True, metavar="GLOB", help="Shards of TFRecords, gzip or plain."
)
@click.option("--json", "output", type=LocalPath(dir_okay=False), help="Write the numbers there too.")
@click.option(
    "--label-map",
    type=click.Path(path_type=Path),
    help="Folder of label_map.json, or a label_map.pbtxt.  [that of the shards]",
)
def evaluate(model: Path, examples: str, output: Path | None, label_map: Path | None) -> None:
    """Score a detector on every image of some shards, with COCO's twelve numbers, over all and by class.

    The detector knows its own settings: none need be repeated.
    """
    with messages(), needs_tensorflow("judging a detector"):
        from efficientdet.checkpoint import load_detector
        from efficientdet.data.survey import survey
        from efficientdet.evaluate import Evaluation
        from efficientdet.preflight import check_groundtruth

        shards = list(example_shards(examples))
        network, config, labels = load_detector(model / DETECTOR if (model / DETECTOR).is_dir() else model)
        theirs = label_map_of(label_map, shards[0])
        if theirs.names != labels.names:
            raise DataError(
                f"{examples}: its classes are {', '.join(theirs.names[:5])}... and the detector's "
                f"{', '.join(labels.names[:5])}...; give examples of the same classes"
            )
        with readable_shards(examples):
            check_groundtruth(survey(shards), labels, examples)
            scores = Evaluation(network, config, len(labels), shards)()
    if not scores.images:
        raise DataError(f"{examples}: holds no images; nothing can be judged")
    if output:
        output.write_text(json.dumps(_record(scores, labels), indent=1) + "\n", encoding="utf-8")
    _print(scores, labels)


def _record(scores: CocoScores, labels: LabelMap) -> dict[str, Any]:
    per_class = {labels[class_id].name: values for class_id, values in sorted(scores.per_class.items())}
    return {"images": scores.images, "metrics": scores.metrics, "per_class": per_class}


def _print(scores: CocoScores, labels: LabelMap) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", *scores.metrics, title=f"{scores.images} images")
    rows = {"all": scores.metrics, **{labels[i].name: values for i, values in sorted(scores.per_class.items())}}
    for name, values in rows.items():
        table.add_row(name, *("n/a" if values.get(key) is None else f"{values[key]:.3f}" for key in scores.metrics))
    Console(width=160).print(table)
