"""Demo data without a download: handwritten digits scattered over textured canvases, as a COCO data set."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from efficientdet.errors import DataError

DIGITS_PER_IMAGE = (2, 6)
DIGIT_HEIGHT = (28, 90)
HELD_OUT = 360
"""The last scans of the set (about 36 of each digit, by other writers) appear in no split but `eval`."""

Rng = np.random.Generator


def write_demo_data(
    output: str | Path,
    seed: int = 0,
    images: Mapping[str, int] | None = None,
    size: tuple[int, int] = (192, 192),
) -> None:
    """Writes `output`/SPLIT/*.jpg and `output`/annotations/instances_SPLIT.json, complete or not at all.

    Args:
      output: a folder that does not exist yet or is empty.
      seed: the same seed and sizes give the same files, byte for byte.
      images: how many images each split gets; 600 for `train` and 100 for `eval` when not given.
      size: (height, width) of an image in pixels, at least the largest digit.

    Raises:
      DataError: `output` holds files already, `size` is too small, or scikit-learn is missing.
    """
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DataError(f"{output}: exists and is not an empty folder; name a new folder for the demo data")
    if min(size) < DIGIT_HEIGHT[1]:
        raise DataError(f"demo data: size {size} is below {DIGIT_HEIGHT[1]} pixels, the largest digit; ask for more")
    scans, labels = _scans()
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        for number, (split, count) in enumerate((images or {"train": 600, "eval": 100}).items()):
            held_out = slice(-HELD_OUT, None) if split == "eval" else slice(0, -HELD_OUT)
            rng = np.random.Generator(np.random.PCG64([seed, number]))
            _write_split(aside, split, count, size, scans[held_out], labels[held_out], rng)
        aside.chmod(0o755)
        aside.replace(output)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _scans() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The 1797 scans `[n, 8, 8]` float32 0..1 (ink is 1) and their digits `[n]`."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("demo data: the digits come with scikit-learn; run `pip install scikit-learn`") from error
    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target


def _write_split(
    folder: Path,
    split: str,
    count: int,
    size: tuple[int, int],
    scans: NDArray[np.float32],
    labels: NDArray[np.int64],
    rng: Rng,
) -> None:
    """One split: `count` images and their annotation file."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / split).mkdir(parents=True)
    for image_id in range(1, count + 1):
        canvas = _texture(size, rng)
        boxes: list[tuple[int, int, int, int]] = []
        for _ in range(rng.integers(DIGITS_PER_IMAGE[0], DIGITS_PER_IMAGE[1] + 1)):
            which = int(rng.integers(len(scans)))
            placed = _place(canvas, scans[which], boxes, rng)
            if placed:
                boxes.append(placed)
                annotations.append(_annotation(len(annotations) + 1, image_id, int(labels[which]), placed))
        name = f"{image_id:06d}.jpg"
        Image.fromarray(np.clip(np.rint(canvas), 0, 255).astype(np.uint8)).save(folder / split / name, quality=90)
        images.append({"id": image_id, "file_name": name, "height": size[0], "width": size[1]})
    categories = [{"id": digit, "name": str(digit), "supercategory": "digit"} for digit in range(10)]
    instances = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations").mkdir(exist_ok=True)
    path = folder / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(instances, indent=1) + "\n", encoding="utf-8")


def _annotation(number: int, image_id: int, digit: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    """A COCO annotation; the box, yxyx, also gives the area (there is no segmentation)."""
    ymin, xmin, ymax, xmax = box
    bbox_xywh = [xmin, ymin, xmax - xmin, ymax - ymin]
    area = bbox_xywh[2] * bbox_xywh[3]
    return {"id": number, "image_id": image_id, "category_id": digit, "bbox": bbox_xywh, "area": area, "iscrowd": 0}


def _texture(size: tuple[int, int], rng: Rng) -> NDArray[np.float32]:
    """A canvas `[h, w, 3]` float32 around mid-grey: coloured clouds of three sizes and fine grain."""
    canvas = np.broadcast_to(rng.uniform(95, 160, 3), (*size, 3)).astype(np.float32)
    for cells, strength in ((3, 22.0), (8, 12.0), (24, 8.0)):
        clouds = rng.uniform(-strength, strength, (3, cells, cells)).astype(np.float32)
        canvas += np.stack([_resize(cloud, size) for cloud in clouds], axis=-1)
    return canvas + rng.uniform(-6, 6, (*size, 1)).astype(np.float32)


def _place(
    canvas: NDArray[np.float32], scan: NDArray[np.float32], boxes: list[tuple[int, int, int, int]], rng: Rng
) -> tuple[int, int, int, int] | None:
    """Paints one digit onto `canvas` in place; its yxyx box, or None when no place with little overlap was found."""
    ink = _ink(scan, rng)
    height, width = ink.shape
    for _ in range(20):
        top = int(rng.integers(canvas.shape[0] - height + 1))
        left = int(rng.integers(canvas.shape[1] - width + 1))
        box = (top, left, top + height, left + width)
        if all(_covered(box, other) < 0.25 for other in boxes):
            window = canvas[top : box[2], left : box[3]]
            window += ink[..., None] * (_colour(float(window.mean()), rng) - window)
            return box
    return None


def _ink(scan: NDArray[np.float32], rng: Rng) -> NDArray[np.float32]:
    """A digit `[h, w]` float32 0..1 of random height and slightly random width, cut to its ink."""
    rows, columns = np.flatnonzero(scan.max(axis=1) > 0.25), np.flatnonzero(scan.max(axis=0) > 0.25)
    # One empty cell all around lets the interpolation fade the outline instead of cutting it.
    cell = np.pad(scan[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    low, high = DIGIT_HEIGHT
    height = low * (high / low) ** rng.uniform()
    stretch = rng.uniform(0.85, 1.15)
    scale = min(height / (cell.shape[0] - 2), high / (cell.shape[1] * stretch))
    smooth = _resize(cell, (round(cell.shape[0] * scale), round(cell.shape[1] * scale * stretch)))
    smooth = np.clip((smooth - 0.35) / 0.3, 0, 1)
    rows, columns = np.flatnonzero(smooth.max(axis=1) > 0.3), np.flatnonzero(smooth.max(axis=0) > 0.3)
    return np.asarray(smooth[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][:high])


def _colour(background: float, rng: Rng) -> NDArray[np.float32]:
    """A dark or a bright colour `[3]`, 0..255, well apart from a background of that brightness."""
    dark = rng.uniform() < (background / 255)
    return (rng.uniform(0, 55, 3) if dark else rng.uniform(200, 255, 3)).astype(np.float32)


def _covered(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """The overlap of two yxyx boxes as a fraction of the smaller one."""
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return max(height, 0) * max(width, 0) / smaller


def _resize(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A float plane resized bicubically to (height, width)."""
    return np.asarray(Image.fromarray(plane).resize(size[::-1], Image.Resampling.BICUBIC))
