"""`efficientdet infer`: what a detector finds in images, videos and cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from efficientdet.cli_messages import messages, needs_tensorflow
from efficientdet.cli_numbers import score_option
from efficientdet.cli_paths import LocalPath
from efficientdet.cli_registry import local_model, registry_option
from efficientdet.errors import DataError, ProblemsError

if TYPE_CHECKING:
    from efficientdet.frame import BrokenFrame
    from efficientdet.infer import InferSummary

TOLD = 20
"""Pictures that cannot be read and are told of; JSON names all."""
_FILE = LocalPath(dir_okay=False, allow_dash=True)


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option(
    "--model",
    "--saved-model-dir",
    "--model-dir",
    "--tflite-path",
    required=True,
    metavar="PATH|NAME[@ALIAS|@VERSION]",
    help="A TFLite file, SavedModel, frozen graph or training run, or a registered model.",
)
@click.option(
    "--input",
    "--input-image",
    "--input-video",
    "source",
    required=True,
    metavar="SOURCE",
    help="An image, a folder, a pattern as 'photos/*.jpg', a video, an address as rtsp://..., or camera:0.",
)
@click.option(
    "--output",
    "--output-image-dir",
    type=LocalPath(file_okay=False),
    help="Folder for detections.json and pictures with boxes; for a video detections.jsonl and an MP4.",
)
@click.option("--json", type=_FILE, help="Write one JSON object there; here and below - is standard output.")
@click.option("--json-lines", "--jsonl", type=_FILE, help="Write a line of JSON for each picture there.")
@click.option("--coco", type=_FILE, help="Write a COCO result file there.")
@click.option("--csv", type=_FILE, help="Write a row for each detection there.")
@score_option
@click.option("--max-boxes-to-draw", type=click.IntRange(min=0), help="In one picture, the strongest.  [all]")
@click.option("--line-thickness", type=click.IntRange(min=1), help="Of boxes in pixels.  [by the size of the image]")
@click.option("--batch-size", type=click.IntRange(min=1), help="Pictures that pass the model together.")
@click.option("--max-frames", type=click.IntRange(min=1), help="End after so many pictures.")
@click.option("--strict", is_flag=True, help="End with exit code 3 when a picture could not be read.")
@registry_option
def infer(model: str, source: str, strict: bool, registry: str, **asked: Any) -> None:
    """Detect objects in images, videos and cameras: JSON, COCO results, CSV, and pictures with boxes.

    Pictures are read as they are stored, as in training: an EXIF orientation is not applied, only noted; a video is
    turned upright as it says. A camera runs until Ctrl-C. Boxes of files are pixels of the picture.

    Ends with exit code 0 when all was done, also if some pictures could not be read: they are named, and counted; with
    3 then if --strict; with 1 when not one could be read, or something else is wrong; with 2 for wrong usage.
    """
    outputs = {name: asked[name] for name in ("json", "json_lines", "coco", "csv")}
    if not asked["output"] and not any(outputs.values()):
        raise click.UsageError("give --output FOLDER, or a file with --json, --json-lines, --coco or --csv")
    to_stdout = [f"--{name.replace('_', '-')}" for name, path in outputs.items() if str(path) == "-"]
    if len(to_stdout) > 1:
        raise click.UsageError(f"{' and '.join(to_stdout)}: only one can go to standard output")
    with messages(), local_model(model, registry) as (path, name), needs_tensorflow(f"running {name}"):
        from efficientdet.drawing import DrawingStyle
        from efficientdet.infer import Outputs, run_infer

        style = DrawingStyle(asked["max_boxes_to_draw"], asked["line_thickness"])
        where = Outputs(asked["output"], **outputs, style=style)
        telling = _Telling()
        done = run_infer(
            path, source, where, asked["score"], asked["batch_size"], asked["max_frames"], name=name, tell=telling
        )
    _report(done, source, err=bool(to_stdout))
    if done.broken and strict:
        raise ProblemsError(f"{source}: {done.broken} of {done.broken + done.images} pictures cannot be read")


class _Telling:
    """Tells of the first pictures that cannot be read."""

    def __init__(self) -> None:
        self._told = 0

    def __call__(self, broken: BrokenFrame) -> None:
        from efficientdet.infer import name_of

        self._told += 1
        if self._told <= TOLD:
            click.echo(f"{name_of(broken)}: skipped, {broken.reason}", err=True)
        elif self._told == TOLD + 1:
            click.echo("further ones are counted, and named in JSON", err=True)


def _report(done: InferSummary, source: str, err: bool) -> None:
    """Says what was done; raises DataError when not one picture could be read."""
    if not done.images:
        raise DataError(f"{source}: not one of its {done.broken} images can be read; give others")
    if done.turned:
        click.echo(
            f"{done.turned} images are read as stored, though their EXIF orientation has viewers turn them", err=True
        )
    files = ", ".join(str(path) for path in done.files if str(path) != "-")
    skipped = f", {done.broken} could not be read" if done.broken else ""
    into = f": {files}" if files else ""
    click.echo(
        f"{done.detections} detections in {done.images} images{skipped}, {done.rate:.1f} images/s{into}", err=err
    )
