"""`efficientdet to-coco`: examples as a COCO data set, for any other tool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import FOREIGN_LABEL_MAP, SHARDS_HELP, example_shards

if TYPE_CHECKING:
    from efficientdet.data.tfod_classes import TfodClasses


@click.command("to-coco")
@click.option("--examples", required=True, metavar="GLOB", help=SHARDS_HELP)
@click.option("--output", required=True, type=LocalPath(file_okay=False), help="New folder for the data set.")
@click.option(
    "--label-map",
    type=click.Path(path_type=Path),
    help=f"Folder of label_map.json, or a {FOREIGN_LABEL_MAP}.  [that of the shards; else the names in the records]",
)
def to_coco(examples: str, output: Path, label_map: Path | None) -> None:
    """Write examples as COCO: instances.json, images, and captions.json where there are captions.

    Takes our shards, and the TF Object Detection API's TFRecords of any other tool. Images keep their bytes, and ids
    and categories their numbers.
    """
    with messages(), needs_tensorflow("reading examples"):
        from efficientdet.data.coco_writer import write_coco

        shards = list(example_shards(examples))
        ledger = write_coco(shards, _classes(label_map, shards), output)
    for finding in ledger.findings:
        click.echo(str(finding), err=True)
    click.echo(f"{output}: images {ledger.images}; boxes {ledger.boxes}")


def _classes(given: Path | None, shards: Sequence[str]) -> TfodClasses:
    """Of a label map that is given, or lies beside the shards or in the folder above; else those in the records."""
    from efficientdet.data.tfod_classes import TfodClasses
    from efficientdet.label_map import FILE_NAME, LabelMap

    first = Path(shards[0]).absolute()
    for place in [given] if given else [first.parent, first.parent.parent]:
        pbtxt = place if place.suffix == ".pbtxt" else place / FOREIGN_LABEL_MAP
        if (place / FILE_NAME).is_file():
            return TfodClasses.of_examples(LabelMap.load(place))
        if pbtxt.is_file() or pbtxt == given:
            return TfodClasses.from_pbtxt(pbtxt)
    return TfodClasses.of_examples(LabelMap.load(given)) if given else TfodClasses.found_in(shards)
