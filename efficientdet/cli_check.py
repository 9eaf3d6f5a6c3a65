"""`efficientdet check`: what is wrong with a data set, and which anchors fit it, before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from efficientdet.atomic_file import write_file
from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import SHARDS_HELP, example_shards, label_map_of
from efficientdet.cli_train import DEFAULT_MODEL, detector_config
from efficientdet.errors import ConfigError, DataError, ProblemsError

if TYPE_CHECKING:
    from efficientdet.check.split import Split

FOLDER, FILE = LocalPath(file_okay=False), LocalPath(dir_okay=False)


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option("--coco", multiple=True, type=FILE, help="COCO instances file; repeat for each split.")
@click.option("--images", multiple=True, type=FOLDER, help="Image folder of each --coco; of --voc if not JPEGImages.")
@click.option("--voc", type=FOLDER, help="VOC folder, which holds Annotations and ImageSets.")
@click.option("--split", "names", multiple=True, help="Image set of --voc, as `train`; repeat for each split.")
@click.option(
    "--examples", "--file-pattern", multiple=True, metavar="GLOB", help=f"{SHARDS_HELP} Repeat for each split."
)
@click.option("--label-map", type=click.Path(path_type=Path), help="Folder of label_map.json, or a label_map.pbtxt.")
@click.option("--model-name", metavar="NAME", help=f"As `efficientdet models --architectures` lists. [{DEFAULT_MODEL}]")
@click.option("--hparams", default="", metavar="YAML|K=V,...", help="Settings, by google/automl's names or ours.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--json", "as_json", type=FILE, help="Write the report there as JSON; - for standard output.")
@click.option("--html", type=FILE, help="Write the report there with pictures.")
@click.option("--fix", type=FOLDER, help="Write clean annotations into this folder; the input is not touched.")
def check(hparams: str, strict: bool, as_json: Path | None, html: Path | None, fix: Path | None, **flags: Any) -> None:
    """Check a data set: COCO or VOC annotations with their images, or shards of examples.

    The first split is the one to train on. Ends with exit code 0 when no error was found, 3 when one was (with
    --strict also for a warning), 1 when the data cannot be read at all, 2 for wrong usage. docs/checks.md lists the
    codes of all problems. Crowd boxes are left out of counts by class and of anchors, as in training.
    """
    sources = {name: flags.pop(name) for name in ("coco", "images", "voc", "names", "examples", "label_map")}
    with messages(), needs_tensorflow("checking data"):
        config = detector_config(hparams, flags)
        from rich.console import Console

        from efficientdet.check.anchor_match import AnchorMatch
        from efficientdet.check.console import print_report
        from efficientdet.check.html import to_html
        from efficientdet.check.inspection import check_splits
        from efficientdet.progress import counting

        splits = _splits(**sources)
        with counting("checked images") as progress:
            report = check_splits(splits, config, pictures=html is not None, fix=fix, progress=progress)
        if not report.images:
            raise DataError(f"{splits[0].source}: holds no images; generate the examples again")
        if html:
            page = to_html(report, config, AnchorMatch(config).shapes)
            write_file(html, page.encode(errors="backslashreplace"))
        if as_json:
            text = json.dumps(report.to_dict(), indent=1) + "\n"
            click.echo(text, nl=False) if str(as_json) == "-" else write_file(as_json, text)
    print_report(report, Console(width=120, highlight=False, stderr=str(as_json) == "-"))
    if found := report.verdict(strict):
        raise ProblemsError(found)


def _splits(
    coco: tuple[Path, ...],
    images: tuple[Path, ...],
    voc: Path | None,
    names: tuple[str, ...],
    examples: tuple[str, ...],
    label_map: Path | None,
) -> list[Split]:
    """The splits that the options name; raises ConfigError when they do not belong together."""
    from efficientdet.check.split import coco_splits, shard_splits, voc_splits

    if bool(coco) + bool(voc) + bool(examples) != 1:
        ways = "--coco FILE --images FOLDER, --voc FOLDER --split NAME, or --examples GLOB"
        raise ConfigError(f"say what to check in one of three ways: {ways}")
    if coco:
        if len(coco) != len(images):
            raise ConfigError(f"{len(coco)} times --coco, but {len(images)} times --images; give each file its folder")
        return coco_splits(list(zip(coco, images, strict=True)))
    if voc:
        if not names or len(images) > 1:
            raise ConfigError("--voc needs --split, as in --split train --split val, and at most one --images")
        return voc_splits(voc, names, images[0] if images else None)
    shards = {pattern: list(example_shards(pattern)) for pattern in examples}
    labels = label_map_of(label_map, next(iter(shards.values()))[0])
    return shard_splits(shards, labels)
