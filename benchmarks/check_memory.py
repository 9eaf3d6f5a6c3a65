"""What a check takes of memory for 1,000 and for 10,000 images: `python benchmarks/check_memory.py`.

COCO files with seven boxes an image, over small pictures that all differ, are checked in processes of their own, with
pictures and a clean copy. Prints the peak of resident memory and the time of each, and the ratio of the peaks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

IMAGES = (1_000, 10_000)
BOXES = 7  # per image, as in COCO
SIDE = 160
CHECK = """
import resource, sys
from pathlib import Path
from efficientdet.check.inspection import check_splits
from efficientdet.check.split import coco_splits
from efficientdet.config import Config
folder = Path(sys.argv[1])
report = check_splits(coco_splits([(folder / "all.json", folder)]), Config(), pictures=True, fix=folder / "clean")
print(report.images, sum(report.boxes_by_name().values()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write(folder: Path, images: int) -> None:
    """A COCO data set of that many images; every hundredth box has no area."""
    random = np.random.default_rng(0)
    for i in range(images):
        patches = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
        patches.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg")
    annotations = []
    for i in range(images * BOXES):
        x, y, width, height = random.uniform(0, SIDE / 2, 4).round(2).tolist()
        bbox = [x, y, width if i % 100 else 0, height]
        outline = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        fields = {"id": i + 1, "image_id": i // BOXES, "category_id": i % 80, "bbox": bbox, "segmentation": outline}
        annotations.append(fields | {"area": width * height, "iscrowd": 0})
    listed = [{"id": i, "file_name": f"{i}.jpg", "height": SIDE, "width": SIDE} for i in range(images)]
    categories = [{"id": i, "name": f"class {i}"} for i in range(80)]
    instances = {"images": listed, "annotations": annotations, "categories": categories}
    (folder / "all.json").write_text(json.dumps(instances))


def measure(images: int) -> tuple[float, float]:
    """Peak of resident memory in MiB and seconds of one check in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), images)
        start = time.perf_counter()
        run = subprocess.run([sys.executable, "-c", CHECK, folder], check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - start
    read, boxes, peak = map(int, run.stdout.split())
    if read != images or not boxes:
        raise SystemExit(f"{read} of {images} images were read")
    return peak / 1024, seconds


def main() -> None:
    peaks = []
    for images in map(int, sys.argv[1:] or IMAGES):
        peak, seconds = measure(images)
        peaks.append(peak)
        print(f"{images:6} images  {peak:7.0f} MiB at most  {seconds:6.1f} s", flush=True)
    print(f"ratio of the peaks: {peaks[-1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
