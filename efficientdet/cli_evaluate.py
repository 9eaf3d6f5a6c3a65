"""`efficientdet evaluate`: COCO's numbers of a trained detector, or of anybody's detections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from efficientdet.atomic_file import write_json
from efficientdet.cli_contenders import (
    Contest,
    Row,
    chunks,
    detected,
    models_on_examples,
    print_scores,
    results_on_annotations,
)
from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import example_shards, label_map_option

if TYPE_CHECKING:
    from efficientdet.scored_image import ScoredImage

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option(
    "--model",
    "--model-dir",
    "--tflite-path",
    type=click.Path(exists=True, path_type=Path),
    help="A training run's folder, a SavedModel, a frozen graph or a TFLite file.",
)
@click.option("--examples", "--val-file-pattern", metavar="GLOB", help="Shards of TFRecords, gzip or plain.")
@click.option("--detections", type=_FILE, help="A COCO result file to judge instead of a model.")
@click.option("--annotations", "--val-json-file", type=_FILE, help="Groundtruth as COCO JSON.  [that of the examples]")
@click.option("--json", "output", type=LocalPath(dir_okay=False), help="Write the numbers there too.")
@click.option("--report", type=LocalPath(dir_okay=False), help="Write a page with curves, errors and pictures there.")
@click.option(
    "--testdev",
    "--testdev-dir",
    type=LocalPath(file_okay=False),
    help="Write what the model detects there, as COCO's server takes it, and judge nothing.",
)
@click.option("--voc", is_flag=True, help="Pascal VOC's AP too, at 11 points and at every point.")
@label_map_option
def evaluate(
    model: Path | None,
    examples: str | None,
    detections: Path | None,
    annotations: Path | None,
    output: Path | None,
    report: Path | None,
    testdev: Path | None,
    voc: bool,
    label_map: Path | None,
) -> None:
    """Score a detector on every image of some shards, with COCO's twelve numbers, over all and by class.

    The detector knows its own settings: none need be repeated. With --detections and --annotations, score what any
    program detected.
    """
    with messages(), needs_tensorflow("judging a detector"):
        if detections:
            _refuse("--detections", {"--model": model, "--examples": examples, "--testdev": testdev})
            if not annotations:
                raise click.UsageError("--detections: needs the groundtruth; give it with --annotations")
            name = detections.name
            _judge(results_on_annotations({name: detections}, annotations), name, output, report, voc)
        elif not model or not examples:
            raise click.UsageError("give --model and --examples, or --detections and --annotations")
        elif testdev:
            _refuse("--testdev", {"--annotations": annotations, "--json": output, "--report": report})
            _submit(model, examples, testdev)
        else:
            name = model.absolute().name
            contest = models_on_examples({name: model}, examples, annotations, label_map)
            rate = _judge(contest, name, output, report, voc)
            click.echo(f"{rate:.1f} images/s")


def _refuse(option: str, others: Mapping[str, object]) -> None:
    """Raises UsageError for an option that does not go with another."""
    if given := [name for name, value in others.items() if value]:
        raise click.UsageError(f"{option} and {given[0]}: do not go together; leave one of them out")


def _judge(contest: Contest, name: str, output: Path | None, report: Path | None, voc: bool) -> float:
    """Scores what one contender found, writes the numbers and the report, and prints; the images per second."""
    from efficientdet.progress import Watched

    watched = Watched(contest.images, contest.total, "evaluated")
    images: Iterable[ScoredImage] = list(watched) if report else watched  # the report has to see them all at once
    count, metrics, by_class = _scores(images, name, voc)
    per_class = {contest.label_map[class_id].name: values for class_id, values in by_class.items()}
    print_scores({"all": metrics, **per_class}, f"{count} images")  # first: a folder that is full takes no numbers away
    if output:
        write_json(output, {"images": count, "metrics": metrics, "per_class": per_class})
    if report:
        _write_report(report, images, contest, name)
    return watched.rate


def _scores(images: Iterable[ScoredImage], name: str, voc: bool) -> tuple[int, Row, Mapping[int, Row]]:
    """How many images there are, the numbers over all, and by class; VOC's beside COCO's if wanted."""
    from efficientdet.coco_metric import CocoAccumulator, match_images
    from efficientdet.voc_metric import VocAccumulator, match_voc_images

    coco, of_voc = CocoAccumulator(), VocAccumulator()
    for some in chunks(images):
        scenes = [image.scene(name) for image in some]
        for matches in match_images(scenes):
            coco.add(matches)
        for matches in match_voc_images(scenes) if voc else []:
            of_voc.add(matches)
    found, voc_found = coco.compute(), of_voc.compute()
    classes = sorted(found.per_class.keys() | voc_found.per_class.keys())
    per_class = {c: {**found.per_class.get(c, {}), **voc_found.per_class.get(c, {})} for c in classes}
    return found.images, {**found.metrics, **(voc_found.metrics if voc else {})}, per_class


def _write_report(path: Path, images: Iterable[ScoredImage], contest: Contest, name: str) -> None:
    """Writes the page, with pictures and the account of the data where there are shards of examples."""
    from efficientdet.data import ledger
    from efficientdet.report.page import write_report
    from efficientdet.report.pictures import stored_pictures

    pictures = stored_pictures(contest.shards) if contest.shards else ()
    folders = [folder for shard in contest.shards[:1] for folder in Path(shard).absolute().parents[:2]]
    account = next((ledger.load(folder) for folder in folders if (folder / ledger.FILE_NAME).is_file()), None)
    write_report(path, images, contest.label_map, pictures=pictures, ledger=account, title=f"Evaluation of {name}")


def _submit(model: Path, examples: str, folder: Path) -> None:
    """Writes the detections for COCO's server, which alone has the groundtruth."""
    from efficientdet.coco_results import write_submission
    from efficientdet.data.input_pipeline import count_records
    from efficientdet.detector_file import open_detector
    from efficientdet.progress import Watched

    shards, detector = list(example_shards(examples)), open_detector(model)
    images = Watched(detected({"": detector}, shards, examples), count_records(shards), "detected")
    path, count = write_submission(folder, detector.config.model.name, images, "", detector.label_map)
    click.echo(f"{path}: {count} detections, to be uploaded to COCO's server; {images.rate:.1f} images/s")
