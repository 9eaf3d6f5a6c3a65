"""The input path against the bare JPEG decoder: images a second, and the wait of a training step for data.

    python benchmarks/input_pipeline.py speed [--images DIR] [--reference PATH] [--rounds 5]
    python benchmarks/input_pipeline.py wait [--model lite0] [--batch-size 8] [--steps 20] [--augmentation none]

`speed` prints images read, decoded, changed, given their targets and batched each second, and their share of what
this machine's decoder reaches on the same bytes and as many threads, doing nothing else. All variants take turns in
one process. A mosaic decodes four images for one. `--reference` is a folder `efficientdet` of google/automl, whose
own loader is then timed on the same records. `wait` prints the share of real training steps spent waiting in
`next()`. The images are 640x480 and about 90 KB, with eight boxes each: made here, or the JPEGs of `--images`.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import tensorflow as tf
from PIL import Image
from rich.console import Console
from rich.table import Table

from efficientdet.anchors import Targets, anchors_for
from efficientdet.config import Config
from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.data.input_pipeline import read_examples, training_batches
from efficientdet.label_map import LabelMap
from efficientdet.trainer import Trainer

AUGMENTATIONS = {
    "none": "data.flip=false,data.jitter_min=1,data.jitter_max=1",
    "flip and jitter": "",
    "autoaugment v2": "data.autoaugment=v2",
    "mosaic": "data.mosaic=1",
}
HEIGHT, WIDTH, BOXES = 480, 640, 8
LABELS = LabelMap.from_names(["cat", "dog"])
WARM_UP = 4  # batches of every turn that are not timed


@click.group()
def cli() -> None:
    """Input benchmarks."""


@cli.command()
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder of JPEGs.")
@click.option("--reference", type=click.Path(file_okay=False, path_type=Path), help="google/automl's efficientdet.")
@click.option("--count", default=256, show_default=True, help="Images in the shards.")
@click.option("--image-size", default=512, show_default=True, help="Of the network.")
@click.option("--batch-size", default=16, show_default=True)
@click.option("--batches", default=12, show_default=True, help="Timed in each round.")
@click.option("--rounds", default=5, show_default=True, help="Turns of every variant.")
def speed(
    images: Path | None,
    reference: Path | None,
    count: int,
    image_size: int,
    batch_size: int,
    batches: int,
    rounds: int,
) -> None:
    """Images a second, and the share of the decoder's own."""
    with tempfile.TemporaryDirectory() as folder:
        pattern = write_shards(Path(folder), jpegs(images, count))
        base = {"model": {"name": "efficientdet-d0", "image_size": image_size}}
        config = Config.parse(base).override({"training": {"batch_size": batch_size}})
        variants = {"decode only": decoding(pattern, batch_size)}
        for name, settings in AUGMENTATIONS.items():
            chosen = config.override(settings)
            variants[name] = training_batches(pattern, chosen, anchors_for(chosen), 0)
        if reference and (reference / "dataloader.py").is_file():
            variants["google/automl"] = reference_batches(reference, Path(folder), image_size, batch_size)
        else:
            click.echo(f"google/automl's loader is skipped: {reference or '--reference'} names no folder with it")
        rates = measured(variants, batches, batch_size, rounds)
    table = Table("variant", "images/s", "share of decoding")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:.0f}", f"{rate / rates['decode only']:.0%}")
    Console(width=80).print(table)


@cli.command()
@click.option("--model", default="lite0", show_default=True)
@click.option("--image-size", type=int, help="Instead of the architecture's own.")
@click.option("--batch-size", default=8, show_default=True)
@click.option("--steps", default=20, show_default=True)
@click.option("--augmentation", default="flip and jitter", show_default=True, type=click.Choice([*AUGMENTATIONS]))
@click.option("--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder of JPEGs.")
@click.option("--count", default=128, show_default=True, help="Images in the shards.")
def wait(
    model: str,
    image_size: int | None,
    batch_size: int,
    steps: int,
    augmentation: str,
    images: Path | None,
    count: int,
) -> None:
    """The share of training that waits for the next batch."""
    config = Config.parse({"model": {"name": f"efficientdet-{model}", "image_size": image_size}})
    config = config.override({"training": {"batch_size": batch_size}}).override(AUGMENTATIONS[augmentation])
    trainer, waited = Trainer(config, len(LABELS), steps), 0.0
    with tempfile.TemporaryDirectory() as folder:
        pattern = write_shards(Path(folder), jpegs(images, count))
        batches = iter(training_batches(pattern, config, anchors_for(config), 0))
        train(trainer, next(batches))
        start = time.perf_counter()
        for _ in range(steps):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            train(trainer, batch)
        total = time.perf_counter() - start
    click.echo(
        f"{model}, {augmentation}: {steps} steps of {batch_size} images, {total / steps:.3f} s each, "
        f"of which {waited / total:.1%} waiting for data"
    )


def train(trainer: Trainer, batch: tuple[tf.Tensor, Any]) -> None:
    """One step, until it is done."""
    images, targets = batch
    float(trainer.step(images, Targets(*targets))["total"])


def jpegs(folder: Path | None, count: int) -> Iterator[bytes]:
    """`count` files from a folder, over and over; or of up to 64 made here."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg")) if folder else []
    if folder and not files:
        raise click.BadParameter(f"{folder}: holds no .jpg file", param_hint="--images")
    made = [] if files else [photograph(seed) for seed in range(min(count, 64))]
    for i in range(count):
        yield files[i % len(files)].read_bytes() if files else made[i % len(made)]


def photograph(seed: int) -> bytes:
    """A JPEG with broad areas, edges, texture and noise in about the shares of a photograph."""
    rng = np.random.default_rng(seed)
    layers = ((6, 0.6), (24, 0.25), (120, 0.15))  # cells over the height, and their share of the contrast
    picture = sum(share * _blurred(rng, cells) for cells, share in layers)
    for _ in range(6):
        top, left = rng.integers(0, HEIGHT - 60), rng.integers(0, WIDTH - 80)
        picture[top : top + rng.integers(20, 200), left : left + rng.integers(20, 200)] += rng.uniform(-60, 60, 3)
    picture += rng.normal(0, 7, picture.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()


def _blurred(rng: np.random.Generator, cells: int) -> np.ndarray:
    """`[480, 640, 3]` float64: random colours on a coarse grid, and smooth between."""
    grid = rng.integers(0, 256, (cells, cells * WIDTH // HEIGHT, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(grid).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.float64)


def write_shards(folder: Path, files: Iterator[bytes]) -> str:
    """Two gzip shards of examples with boxes; their pattern."""
    rng = np.random.default_rng(0)
    writers = [tf.io.TFRecordWriter(str(folder / f"data-{i}-of-2.gz"), "GZIP") for i in range(2)]
    plain = tf.io.TFRecordWriter(str(folder / "plain.tfrecord"))  # which the reference reads
    for i, encoded in enumerate(files):
        width, height = Image.open(io.BytesIO(encoded)).size
        record = to_example(_annotated(str(i), encoded, height, width, rng), LABELS).SerializeToString()
        for writer in (writers[i % 2], plain):
            writer.write(record)
    for writer in (*writers, plain):
        writer.close()
    return str(folder / "*.gz")


def _annotated(source_id: str, encoded: bytes, height: int, width: int, rng: np.random.Generator) -> AnnotatedImage:
    sides = np.exp(rng.uniform(np.log(0.04), np.log(0.8), (BOXES, 2)))
    corners = rng.uniform(0, 1 - sides)
    boxes = np.concatenate([corners, corners + sides], axis=1) * [height, width, height, width]
    nothing = np.zeros(BOXES, bool)
    return AnnotatedImage(
        source_id=source_id,
        file_name=f"{source_id}.jpg",
        encoded=encoded,
        image_format="jpeg",
        height=height,
        width=width,
        boxes=boxes.astype(np.float32),
        classes=rng.integers(1, len(LABELS) + 1, BOXES).astype(np.int32),
        is_crowd=nothing,
        area=np.ones(BOXES, np.float32),
        difficult=nothing,
    )


def decoding(pattern: str, batch_size: int) -> tf.data.Dataset:
    """Endless batches of nothing but one value per decoded image, the encoded ones being in memory."""
    encoded = [example["image_bytes"].numpy() for example in read_examples(pattern)]
    files = tf.data.Dataset.from_tensor_slices(encoded).repeat()
    decoded = files.map(lambda file: tf.io.decode_jpeg(file, 3)[0, 0, 0], num_parallel_calls=tf.data.AUTOTUNE)
    return decoded.batch(batch_size).prefetch(2)


def reference_batches(reference: Path, folder: Path, image_size: int, batch_size: int) -> tf.data.Dataset:
    """google/automl's training batches, with flip and jitter as by its default."""
    sys.path.insert(0, str(reference))
    import dataloader
    import hparams_config

    settings = hparams_config.get_efficientdet_config("efficientdet-d0")
    settings.override({"image_size": image_size, "num_classes": len(LABELS)}, allow_new_keys=True)
    reader = dataloader.InputReader(str(folder / "plain.tfrecord"), is_training=True, max_instances_per_image=100)
    return reader({**settings.as_dict(), "batch_size": batch_size})


def measured(variants: dict[str, tf.data.Dataset], batches: int, batch_size: int, rounds: int) -> dict[str, float]:
    """Images a second of each, the median over rounds in which they take turns."""
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, dataset in variants.items():
            # Of its own for every turn: an iterator that waits goes on filling its buffers.
            iterator = iter(dataset)
            for _ in range(WARM_UP):
                next(iterator)
            start = time.perf_counter()
            for _ in range(batches):
                next(iterator)
            rates[name].append(batches * batch_size / (time.perf_counter() - start))
            del iterator
    return {name: median(values) for name, values in rates.items()}


if __name__ == "__main__":
    cli()
