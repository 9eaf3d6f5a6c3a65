"""COCO into TFRecords against the bytes alone: images and megabytes a second, and the memory by number of images.

    python benchmarks/conversion.py speed [--count 2000] [--reference PATH] [--rounds 3] [--cold]
    python benchmarks/conversion.py memory [--counts 500,2000,8000]

`speed` times example generation as the pipeline runs it (annotations read, every image checked, its examples, ledger
and changes written), on one and on two worker processes, and in turn with it: `bytes`, which reads the same images
and writes them into one file, the limit of any converter; google/automl's create_coco_tfrecord.py where `--reference`
names the folder that holds `dataset/create_coco_tfrecord.py`; and TensorFlow Datasets where it is installed. Starting
an interpreter and its imports are not counted, of any of them. With `--cold` the images come from the disk, not from
the memory that caches it, and what is written counts as written when it is on the disk. `memory` prints the peak of a
process by the number of images. The images are 640x480 JPEGs of about 160 KB, all different, with eight boxes and
polygons each, made here.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import click
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

HEIGHT, WIDTH, BOXES, PICTURES = 480, 640, 8, 32


@click.group()
def cli() -> None:
    """Conversion benchmarks."""


@cli.command()
@click.option("--count", default=2000, show_default=True, help="Images.")
@click.option("--rounds", default=3, show_default=True, help="Turns of every variant.")
@click.option("--reference", type=click.Path(file_okay=False, path_type=Path), help="google/automl's efficientdet.")
@click.option("--cold", is_flag=True, help="Read from the disk and write to it, past the cache.")
def speed(count: int, rounds: int, reference: Path | None, cold: bool) -> None:
    """Images and megabytes a second, and the share of what the bytes alone would take."""
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch, "data")
        megabytes = write_data_set(data, count) / 1e6
        variants = ["bytes", "ours, 1 process", "ours, 2 processes"]
        variants += ["create_coco_tfrecord"] if reference else []
        variants += ["tensorflow_datasets"] if find_spec("tensorflow_datasets") else []
        seconds: dict[str, list[float]] = {variant: [] for variant in variants}
        for _ in range(rounds):
            for variant in variants:
                if cold:
                    forget(data)
                seconds[variant].append(in_process(variant, data, reference, cold)[0])
    table = Table("converter", "images/s", "MB/s", "share of the bytes' speed")
    for variant, times in seconds.items():
        took = median(times)
        share = median([limit / own for limit, own in zip(seconds["bytes"], times, strict=True)])
        table.add_row(variant, f"{count / took:.0f}", f"{megabytes / took:.0f}", f"{share:.2f}")
    Console(width=100).print(table)


@cli.command()
@click.option("--counts", default="500,2000,8000", show_default=True, help="Numbers of images.")
def memory(counts: str) -> None:
    """Peak memory of a converting process."""
    table = Table("images", "peak MB")
    peaks = []
    for count in map(int, counts.split(",")):
        with tempfile.TemporaryDirectory() as scratch:
            write_data_set(Path(scratch, "data"), count)
            peaks.append(in_process("ours, 1 process", Path(scratch, "data"), None, False)[1] / 1e6)
        table.add_row(str(count), f"{peaks[-1]:.0f}")
    Console(width=100).print(table)
    print(f"last to first: {peaks[-1] / peaks[0]:.2f}")


def write_data_set(folder: Path, count: int) -> int:
    """Images and annotations in COCO's layout; the bytes of the images."""
    (folder / "images").mkdir(parents=True)
    rng, size = np.random.default_rng(0), 0
    pictures = []
    for _ in range(PICTURES):
        coarse = rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + rng.normal(0, 22, smooth.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    images, annotations = [], []
    for number in range(count):
        # A comment segment after the start of image makes each file differ.
        encoded = pictures[number % PICTURES]
        encoded = encoded[:2] + b"\xff\xfe\x00\x0a" + f"{number:08d}".encode() + encoded[2:]
        (folder / f"images/{number:012d}.jpg").write_bytes(encoded)
        size += len(encoded)
        images.append({"id": number, "file_name": f"{number:012d}.jpg", "height": HEIGHT, "width": WIDTH})
        for box in range(BOXES):
            x, y, w, h = (float(v) for v in (*rng.integers(0, 300, 2), *rng.integers(8, 170, 2)))
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
            record = {"id": number * BOXES + box, "image_id": number, "category_id": 1 + box % 2, "iscrowd": 0}
            annotations.append(record | {"bbox": [x, y, w, h], "area": w * h, "segmentation": [polygon]})
    categories = [{"id": 1, "name": "cat", "supercategory": ""}, {"id": 2, "name": "dog", "supercategory": ""}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
    return size


def forget(data: Path) -> None:
    """Drops the images from the cache of the disk."""
    os.sync()
    for path in (data / "images").iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def in_process(variant: str, data: Path, reference: Path | None, cold: bool) -> tuple[float, float]:
    """Runs a variant in a process of its own: seconds without its start, and its peak memory in bytes."""
    command = [sys.executable, __file__, "turn", variant, str(data), *([str(reference)] if reference else [])]
    command += ["--cold"] if cold else []
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{variant}: {done.stderr[-2000:]}")
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak)


@cli.command(hidden=True)
@click.argument("variant")
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("reference", type=click.Path(path_type=Path), required=False)
@click.option("--cold", is_flag=True)
def turn(variant: str, data: Path, reference: Path | None, cold: bool) -> None:
    """One variant, once."""
    with tempfile.TemporaryDirectory(dir=data.parent) as out:
        work = prepare(variant, data, Path(out), reference)
        os.sync()
        start = time.perf_counter()
        work()
        if cold:
            os.sync()
        seconds = time.perf_counter() - start
    print(f"{seconds} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}")


def prepare(variant: str, data: Path, out: Path, reference: Path | None) -> Callable[[], object]:
    """Everything but the work itself."""
    if variant == "bytes":
        return lambda: copy(data, out)
    if variant.startswith("ours"):
        return ours(data, out, 2 if "2" in variant else 1)
    if variant == "create_coco_tfrecord" and reference:
        return theirs(data, out, reference)
    return tfds(data, out)


def copy(data: Path, out: Path) -> None:
    """Reads every image and writes its bytes."""
    with Path(out, "bytes").open("wb") as file:
        for path in sorted((data / "images").iterdir()):
            file.write(path.read_bytes())


def ours(data: Path, out: Path, workers: int) -> Callable[[], object]:
    """CocoExampleGen's executor, as a pipeline calls it."""
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.proto import example_gen_pb2
    from tfx.types.standard_artifacts import Examples

    from components.example_gen import CocoExampleGen
    from components.example_gen.formats import CocoExecutor

    # A single split is divided otherwise, as it would be in two files.
    whole = example_gen_pb2.Output()
    component = CocoExampleGen(
        str(data), {"train": "instances.json"}, {"train": "images"}, 0.0, "", output_config=whole
    )
    several = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    arguments = ["--runner=FnApiRunner", *(several if workers > 1 else [])]
    executor = CocoExecutor(BaseBeamExecutor.Context(beam_pipeline_args=arguments, tmp_dir=str(out / "tmp")))
    examples = Examples()
    examples.uri = str(out / "examples")
    return lambda: executor.Do({}, {"examples": [examples]}, dict(component.exec_properties))


def theirs(data: Path, out: Path, reference: Path) -> Callable[[], object]:
    """The function behind create_coco_tfrecord's command, with its own number of processes."""
    sys.path[:0] = [str(reference), str(reference / "dataset")]
    from dataset import create_coco_tfrecord as script  # type: ignore[import-not-found]

    script.FLAGS(["create_coco_tfrecord", "--include_masks=False"])
    return lambda: script._create_tf_record_from_coco_annotations(
        str(data / "instances.json"), str(data / "images"), str(out / "coco"), 8, str(data / "instances.json")
    )


def tfds(data: Path, out: Path) -> Callable[[], object]:
    """TensorFlow Datasets' writer over the same images and boxes."""
    import tensorflow_datasets  # type: ignore[import-not-found]

    content = json.loads((data / "instances.json").read_text())
    boxes: dict[int, list[list[float]]] = {}
    for annotation in content["annotations"]:
        boxes.setdefault(annotation["image_id"], []).append(annotation["bbox"])
    features = tensorflow_datasets.features
    described = features.FeaturesDict({"image": features.Image(), "boxes": features.Sequence(features.BBoxFeature())})

    def rows() -> object:
        for image in content["images"]:
            corners = [(y / HEIGHT, x / WIDTH, (y + h) / HEIGHT, (x + w) / WIDTH) for x, y, w, h in boxes[image["id"]]]
            entry = {"image": str(data / "images" / image["file_name"])}
            yield image["id"], entry | {"boxes": [features.BBox(*corner) for corner in corners]}

    return lambda: tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        name="coco", version="1.0.0", features=described, split_datasets={"train": rows()}, data_dir=str(out)
    )


if __name__ == "__main__":
    cli()
