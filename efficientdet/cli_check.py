"""`efficientdet check`: what some examples hold, and which anchors fit them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import SHARDS_HELP, example_shards, label_map_of, readable_shards
from efficientdet.cli_train import DEFAULT_MODEL, detector_config
from efficientdet.errors import DataError

if TYPE_CHECKING:
    from efficientdet.anchor_suggestion import AnchorSuggestion
    from efficientdet.data.survey import Survey
    from efficientdet.label_map import LabelMap


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option("--examples", "--file-pattern", required=True, metavar="GLOB", help=SHARDS_HELP)
@click.option("--model-name", metavar="NAME", help=f"As `efficientdet models --architectures` lists. [{DEFAULT_MODEL}]")
@click.option("--hparams", default="", metavar="YAML|K=V,...", help="Settings, by google/automl's names or ours.")
@click.option("--json", "output", type=LocalPath(dir_okay=False), help="Write the numbers there too.")
@click.option(
    "--label-map",
    type=click.Path(path_type=Path),
    help="Folder of label_map.json, or a label_map.pbtxt.  [that of the shards]",
)
def check(examples: str, hparams: str, output: Path | None, label_map: Path | None, **flags: Any) -> None:
    """Count what some shards hold, and suggest the aspect ratios of anchors that fit their boxes.

    Crowd boxes are left out, as in training.
    """
    with messages(), needs_tensorflow("reading examples"):
        config = detector_config(hparams, flags)
        from efficientdet.anchor_suggestion import box_shapes, suggest_anchors
        from efficientdet.data.survey import survey

        shards = list(example_shards(examples))
        labels = label_map_of(label_map, shards[0])
        with readable_shards(examples):
            found = survey(shards)
            shapes = box_shapes(shards, config)
    if not found.images:
        raise DataError(f"{examples}: holds no images; generate the examples again")
    suggestion = suggest_anchors(shapes, config) if len(shapes) else None
    if output:
        output.write_text(json.dumps(_record(found, labels, suggestion), indent=1) + "\n", encoding="utf-8")
    _print(found, labels, suggestion)


def _boxes_by_name(found: Survey, labels: LabelMap) -> dict[str, int]:
    """Every class of the label map with the number of its boxes; then ids that it lacks."""
    strange = sorted(set(found.boxes) - {label.id for label in labels})
    known = {label.name: found.boxes[label.id] for label in labels}
    return known | {f"class {class_id} (not in the label map)": found.boxes[class_id] for class_id in strange}


def _record(found: Survey, labels: LabelMap, suggestion: AnchorSuggestion | None) -> dict[str, Any]:
    anchors = asdict(suggestion) | {"hparams": suggestion.hparams} if suggestion else None
    counts = {"images": found.images, "images_without_boxes": found.empty, "most_boxes": found.most}
    return {**counts, "boxes": _boxes_by_name(found, labels), "anchors": anchors}


def _print(found: Survey, labels: LabelMap, suggestion: AnchorSuggestion | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120, highlight=False)
    classes = Table("class", "boxes")
    for name, count in _boxes_by_name(found, labels).items():
        classes.add_row(name, str(count))
    console.print(f"{found.images} images, {found.empty} of them without a box; {found.most} boxes in one at most")
    console.print(classes)
    if suggestion is None:
        console.print("no boxes, so no anchors are suggested")
        return
    anchors = Table("anchors", "aspect ratios", "mean best IoU", "boxes below IoU 0.5")
    for name, fit in (("current", suggestion.current), ("suggested", suggestion.suggested)):
        ratios = ", ".join(map(str, fit.aspect_ratios))
        anchors.add_row(name, ratios, f"{fit.mean_iou:.3f}", f"{fit.unreached:.1%}")
    console.print(anchors)
    if suggestion.too_small:
        console.print(
            f"{suggestion.too_small:.1%} of the boxes are too small for any anchor; "
            "a larger model.image_size or a lower model.min_level reaches them"
        )
    advice = (
        f"--hparams '{suggestion.hparams}'" if suggestion.is_new else "the configured aspect ratios fit as they are"
    )
    console.print(advice, markup=False, soft_wrap=True)
