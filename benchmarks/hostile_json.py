"""Memory and time of reading ever larger COCO files: `python benchmarks/hostile_json.py [--entries 100000 1000000]`.

Each file has that many annotations of some seventy bytes, ten to an image. Prints its size, the seconds and the peak
memory of a process of its own that reads it, and the ratio of that peak to a process that reads next to nothing.
Up to ten million entries by default, which need some 3 GB in the temporary folder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENTRIES = (100_000, 1_000_000, 10_000_000)
PER_IMAGE = 10
# VmHWM, as the peak that `resource` knows is handed down from the process that started this one.
PROGRAM = """
import sys
from pathlib import Path
from efficientdet.data.coco import read_coco
for entry in read_coco(sys.argv[1:]):
    pass
print(entry.images, entry.boxes, Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def write(path: Path, entries: int) -> None:
    """Writes a COCO file of that many annotations, without ever holding it."""
    with path.open("w") as file:
        file.write('{"images": [{"id": 0, "file_name": "0.jpg"}')
        file.writelines(f', {{"id": {i}, "file_name": "{i}.jpg"}}' for i in range(1, max(1, entries // PER_IMAGE)))
        file.write('], "annotations": [{"id": 0, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9]}')
        file.writelines(
            f', {{"id": {i}, "image_id": {i // PER_IMAGE}, "category_id": 1, "bbox": [0, 0, 9, 9]}}'
            for i in range(1, entries)
        )
        file.write('], "categories": [{"id": 1, "name": "a"}]}')


def measure(path: Path) -> tuple[int, float, float]:
    """Boxes read, seconds, and MiB at the peak of a process that reads the file."""
    start = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    _, boxes, kibibytes = map(int, run.stdout.split())
    return boxes, seconds, kibibytes / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=ENTRIES)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "instances.json")
        write(path, 1)
        _, _, bare = measure(path)
        for number in entries:
            write(path, number)
            boxes, seconds, peak = measure(path)
            size = path.stat().st_size / 1e6
            print(
                f"{boxes:>10} entries {size:7.1f} MB {seconds:7.1f} s {peak:7.1f} MiB {peak / bare:6.2f} x", flush=True
            )


if __name__ == "__main__":
    main()
