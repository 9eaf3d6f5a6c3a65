"""The bulk inference itself: deals out the work, has Beam's workers do it, and puts the whole in its place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.bulk_inferrer.detect_shard import ASIDE, NAMED, WHOLE, DetectShard
from components.bulk_inferrer.model import content_sha256
from components.bulk_inferrer.results import SUMMARY_FILE
from components.bulk_inferrer.work import Shard, deal_examples, deal_images
from components.shard_job import write_shards
from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.atomic_file import write_file
from efficientdet.detector_file import Detector, open_detector
from efficientdet.errors import ConfigError, DataError
from efficientdet.lock import lock

JOB_FILE = "job.json"


@dataclass(frozen=True)
class BulkSummary:
    """What a bulk inference did.

    model: what was run, its architecture, the SHA-256 of its content and the hash of its label map. images: that were
    read. broken: that could not be; unreadable: the first of them, with reasons.
    """

    model: dict[str, str]
    score_threshold: float
    shards: int
    images: int = 0
    detections: int = 0
    broken: int = 0
    unreadable: list[dict[str, Any]] = field(default_factory=list)


def bulk_infer(
    model: str | Path,
    output: str | Path,
    make_pipeline: Callable[[], beam.Pipeline],
    *,
    images: str | None = None,
    examples: str | None = None,
    score_threshold: float = 0.3,
    shards: int | None = None,
    name: str | None = None,
) -> BulkSummary:
    """Detects in many images with the workers of a Beam engine.

    The folder `output` then holds `detections-NNNNN-of-NNNNN.jsonl.gz`, a line for each image, `config.yaml` and
    `label_map.json` of the model, and `summary.json`. It appears whole; a job that was killed goes on where it was when
    it is started again with the same arguments, but for shards whose images have changed since.

    Args:
      model: what `efficientdet.detector_file.open_detector` takes; every worker must see it under this path.
      make_pipeline: an empty pipeline with the arguments of the engine, as for `components.shard_job.write_shards`.
      images: what `deal_images` takes, or
      examples: a pattern of TFRecords.
      score_threshold: the least score of a detection.
      shards: how many files of detections; without it one for each file of examples, or for 1000 images.
      name: what the summary calls the model, if not by its path.

    Raises:
      ConfigError: `output` holds something or is a mount point, or another job began there; or it became so on the way,
        and what was detected waits for the same command.
      DataError: there is no image, or not one could be read.
      ModelError: the model cannot be opened, or changes on the way.
    """
    output, model = _free(Path(output)), Path(model).absolute()
    partial = output.parent / f".{output.name}.partial"
    detector, digest = open_detector(model), content_sha256(model)
    with lock(partial):
        lists = partial / ASIDE / "lists"
        work, names = deal_examples(examples, shards) if examples else deal_images(images or "", lists, shards)
        about = {"model": digest, "names": names, "shards": len(work), "score_threshold": score_threshold}
        _claim(partial, about)
        worker = DetectShard(str(partial), str(model), digest, score_threshold)
        worker.forget_changed(work)
        write_shards(make_pipeline, work, worker)
        facts = {"file": name or str(model), "architecture": detector.config.model.name, "sha256": digest}
        summary = _summary(partial, work, {**facts, "labels": detector.label_map.hash}, score_threshold)
        if not summary.images:
            raise DataError(f"{images or examples}: not one of its {summary.broken} images can be read; give others")
        _finish(partial, output, detector, summary)
    return summary


def _free(output: Path) -> Path:
    """The absolute path of a folder that can be made, or is empty; raises ConfigError for others."""
    output = output.resolve() if output.is_symlink() else output.absolute()
    if output.is_mount():
        raise ConfigError(f"{output}: is a mount point, which nothing can take the place of; name a folder in it")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output}: is there already; name a new folder")
    return output


def _finish(partial: Path, output: Path, detector: Detector, summary: BulkSummary) -> None:
    """Puts what explains the shards beside them, and the whole in its place; until it is there nothing is removed."""
    whole, text = partial / WHOLE, json.dumps(asdict(summary), indent=1, ensure_ascii=False) + "\n"
    write_file(whole / config_file.FILE_NAME, detector.config.to_yaml())
    write_file(whole / label_map_file.FILE_NAME, detector.label_map.to_json())
    write_file(whole / SUMMARY_FILE, text.encode("utf-8", "backslashreplace"))
    try:
        whole.rename(output)  # which takes the place of an empty folder too, but of no other
    except OSError as error:
        raise ConfigError(
            f"{output}: all images are done, but the result cannot be put there ({error.strerror}); it waits in "
            f"{whole}: clear its place, and the same command puts it there"
        ) from error
    shutil.rmtree(partial, ignore_errors=True)


def _claim(partial: Path, about: dict[str, Any]) -> None:
    """Notes what is done in the folder; raises ConfigError when that is something else than what began there."""
    path = partial / ASIDE / JOB_FILE
    text = json.dumps(about, indent=1)
    began = (partial / WHOLE).is_dir()  # of an ended job it may be that only what it remembered is left
    if began and path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{partial}: another job began there, with another model, other images or other options; remove it, or "
            "name another output"
        )
    write_file(path, text)


def _summary(partial: Path, work: Sequence[Shard], model: dict[str, str], score_threshold: float) -> BulkSummary:
    """The sums of what the workers counted."""
    counted = [json.loads((partial / ASIDE / f"{shard}.json").read_text(encoding="utf-8")) for shard in work]
    sums = {name: sum(counts[name] for counts in counted) for name in ("images", "detections", "broken")}
    unreadable = [each for counts in counted for each in counts["unreadable"]][:NAMED]
    return BulkSummary(model, score_threshold, len(work), **sums, unreadable=unreadable)
