"""`efficientdet evaluate`: COCO's numbers of a trained detector, or of anybody's detections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from efficientdet.cli_contenders import (
    chunks,
    detected,
    models_on_examples,
    print_scores,
    results_on_annotations,
    write_json,
)
from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_shards import example_shards, label_map_option

if TYPE_CHECKING:
    from efficientdet.label_map import LabelMap
    from efficientdet.scored_image import ScoredImage

CONTENDER = "detector"
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
            _judge_results(detections, annotations, output, voc)
        elif not model or not examples:
            raise click.UsageError("give --model and --examples, or --detections and --annotations")
        elif testdev:
            _refuse("--testdev", {"--annotations": annotations, "--json": output})
            _submit(model, examples, testdev)
        else:
            _judge_model(model, examples, annotations, label_map, output, voc)


def _refuse(option: str, others: Mapping[str, object]) -> None:
    """Raises UsageError for an option that does not go with another."""
    if given := [name for name, value in others.items() if value]:
        raise click.UsageError(f"{option} and {given[0]}: do not go together; leave one of them out")


def _judge_model(
    model: Path, examples: str, annotations: Path | None, label_map: Path | None, output: Path | None, voc: bool
) -> None:
    from efficientdet.progress import Watched

    contest = models_on_examples({CONTENDER: model}, examples, annotations, label_map)
    images = Watched(contest.images, contest.total, "evaluated")
    _judge(images, contest.label_map, output, voc)
    click.echo(f"{images.rate:.1f} images/s")


def _judge_results(detections: Path, annotations: Path, output: Path | None, voc: bool) -> None:
    contest = results_on_annotations({CONTENDER: detections}, annotations)
    _judge(contest.images, contest.label_map, output, voc)


def _judge(images: Iterable[ScoredImage], label_map: LabelMap, output: Path | None, voc: bool) -> None:
    """Scores the images, writes the numbers and prints them; those of VOC beside COCO's if wanted."""
    from efficientdet.coco_metric import CocoAccumulator, match_images
    from efficientdet.voc_metric import VocAccumulator, match_voc_images

    coco, of_voc = CocoAccumulator(), VocAccumulator()
    for some in chunks(images):
        scenes = [image.scene(CONTENDER) for image in some]
        for matches in match_images(scenes):
            coco.add(matches)
        for matches in match_voc_images(scenes) if voc else []:
            of_voc.add(matches)
    scores, voc_scores = coco.compute(), of_voc.compute()
    metrics = {**scores.metrics, **(voc_scores.metrics if voc else {})}
    classes = sorted(scores.per_class.keys() | voc_scores.per_class.keys())
    per_class = {label_map[c].name: {**scores.per_class.get(c, {}), **voc_scores.per_class.get(c, {})} for c in classes}
    if output:
        write_json(output, {"images": scores.images, "metrics": metrics, "per_class": per_class})
    print_scores({"all": metrics, **per_class}, f"{scores.images} images")


def _submit(model: Path, examples: str, folder: Path) -> None:
    """Writes the detections for COCO's server, which alone has the groundtruth."""
    from efficientdet.coco_results import write_submission
    from efficientdet.data.input_pipeline import count_records
    from efficientdet.detector_file import open_detector
    from efficientdet.progress import Watched

    shards, detector = list(example_shards(examples)), open_detector(model)
    images = Watched(detected({CONTENDER: detector}, shards, examples), count_records(shards), "detected")
    name = detector.config.model.name
    path, count = write_submission(folder, name, images, CONTENDER, detector.label_map)
    click.echo(f"{path}: {count} detections, to be uploaded to COCO's server; {images.rate:.1f} images/s")
