"""The shards of a bulk inference as others read them."""

from __future__ import annotations

import errno
import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from components.bulk_inferrer.detect_shard import SUFFIX
from efficientdet.atomic_file import atomic_file
from efficientdet.coco_image_ids import ImageIds
from efficientdet.errors import ConfigError, DataError

SUMMARY_FILE = "summary.json"


def read_detections(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The record of each image, shard after shard, one in memory at a time.

    A record is that of `efficientdet infer --json-lines`. Raises DataError when the folder holds no finished inference
    or one of its files is damaged.
    """
    if not Path(folder, SUMMARY_FILE).is_file():
        raise DataError(f"{folder}: holds no {SUMMARY_FILE}, so no inference ended here; run it, or name its --output")
    for path in sorted(Path(folder).glob(f"*{SUFFIX}")):
        try:
            with gzip.open(path, "rb") as file:
                yield from map(json.loads, file)
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{path}: is damaged ({error}); run the inference again") from error


def check_coco_target(path: str | Path, output: str | Path, *read: str | Path) -> None:
    """Says before a job whether its COCO result file can be written; its folder is made, unless it is in `output`.

    Raises ConfigError when it cannot, or would take the place of the `output` folder or of what is `read`.
    """
    target, whole = Path(path).absolute(), Path(output).absolute()
    if target.resolve() in {whole.resolve(), *(Path(each).resolve() for each in read)}:
        raise ConfigError(f"{path}: is read, or the folder of the detections, and would be replaced; name another file")
    if whole in target.parents:
        return
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}: {error.filename}); name another") from error


def write_coco(folder: str | Path, path: str | Path) -> int:
    """Writes the detections of all shards as one COCO result file, for `efficientdet evaluate --detections`.

    Boxes are exact to 0.01 pixels and scores to 0.000001, as in the shards; ids are those of
    `efficientdet.coco_image_ids`. Returns how many detections there are. Raises DataError when they cannot be read, or
    the file not written.
    """
    ids = ImageIds((record["file"], record.get("image_id")) for record in read_detections(folder))
    try:
        with atomic_file(path) as aside, aside.open("w", encoding="utf-8") as file:
            return _write_entries(file, folder, ids)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); make room, or name another file") from error


def _write_entries(file: IO[str], folder: str | Path, ids: ImageIds) -> int:
    count = 0
    file.write("[")
    for record in read_detections(folder):
        for entry in _entries(record, ids(record["file"], record.get("image_id"))):
            file.write(f"{',' if count else ''}\n{json.dumps(entry)}")
            count += 1
    file.write("\n]\n")
    return count


def _entries(record: dict[str, Any], image_id: int | str) -> Iterator[dict[str, Any]]:
    for found in record.get("detections", []):
        box = found["box"]
        sides = [round(box["xmax"] - box["xmin"], 2), round(box["ymax"] - box["ymin"], 2)]
        yield {
            "image_id": image_id,
            "category_id": found["category_id"],
            "bbox": [box["xmin"], box["ymin"], *sides],
            "score": found["score"],
            "file_name": record["file"],
        }
