"""One file of a bundle in a fresh process, as a consumer has it: `python -m efficientdet.probe JOB ANSWER`.

For a TFLite file TensorFlow is not imported. It may crash or hang; `efficientdet.infra_validation` starts it.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import cycle
from pathlib import Path

from efficientdet import config as config_file
from efficientdet.atomic_file import write_file
from efficientdet.config import Config
from efficientdet.errors import ModelError, reason
from efficientdet.image_source import read_image
from efficientdet.label_map import LabelMap
from efficientdet.lean_imports import lean_imports
from efficientdet.model_contract import saved_model_faults, tflite_faults
from efficientdet.tflite_detector import SIGNATURE, TFLiteDetector

WARM_UP = 3
TIMED = 30
TIMED_SECONDS = 20.0

Image = tuple[list[tuple[float, float, float, float]], list[float], list[int]]
"""What is found in an image: n boxes in yxyx pixels, n scores, n classes from 1."""
Detect = Callable[[Path], Image]


@dataclass(frozen=True)
class Job:
    """What to do with a file.

    file: a SavedModel's folder or a TFLite file. bundle: the folder whose config and label map it must agree with;
    None to ask nothing. threads: that LiteRT may use. compared: image files whose detections are wanted. timed: image
    files whose latency is.
    """

    file: str
    bundle: str | None
    threads: int
    compared: Sequence[str]
    timed: Sequence[str]


@dataclass(frozen=True)
class Answer:
    """What came of it.

    faults: what consumers rely on and is not so; such a file is not run. error: what its runtime said when it
    failed. found: per compared image. latency_ms: of single images, from their file to detections.
    """

    faults: Sequence[str] = field(default=())
    error: str = ""
    found: Sequence[Image] = field(default=())
    latency_ms: Sequence[float] = field(default=())


def main(job: str, answer: str) -> None:
    """Reads the one file and writes the other, which appears complete or not at all."""
    _die_with_parent()
    found = probe(Job(**json.loads(Path(job).read_text(encoding="utf-8"))))
    write_file(answer, json.dumps(asdict(found)))


def probe(job: Job) -> Answer:
    """Loads the file, holds it against the bundle, and runs it on the images."""
    path = Path(job.file)
    try:
        file = _TFLite(path, job.threads) if path.is_file() else _SavedModel(path)
        if job.bundle and (faults := file.faults(*_expected(Path(job.bundle)))):
            return Answer(faults)
        found = [file.detect(Path(image)) for image in job.compared]
        return Answer(found=found, latency_ms=_latencies(file.detect, [Path(image) for image in job.timed]))
    except Exception as error:  # a runtime raises what it likes, and every kind is a verdict on the file
        return Answer(error=reason(error))


class _TFLite:
    """In LiteRT, as `efficientdet infer` has it."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path, self._threads = path, threads

    @cached_property
    def _detector(self) -> TFLiteDetector:
        return TFLiteDetector(self._path, num_threads=self._threads)

    def faults(self, config: Config, label_map: LabelMap) -> list[str]:
        return tflite_faults(self._path, config, label_map)

    def detect(self, image: Path) -> Image:
        [(boxes, scores, classes)] = self._detector([read_image(image)])
        return boxes.tolist(), scores.tolist(), classes.tolist()


class _SavedModel:
    """In TensorFlow, loaded without any code of ours; its threads are those of the environment."""

    def __init__(self, path: Path) -> None:
        if not (path / "saved_model.pb").is_file():
            raise ModelError(f"{path}: there is no SavedModel; export the model again")
        with lean_imports():
            import tensorflow as tf

        self._path, self._model, self._tensor = path, tf.saved_model.load(str(path)), tf.constant

    def faults(self, config: Config, label_map: LabelMap) -> list[str]:
        return saved_model_faults(self._path, self._model.signatures, config, label_map)

    def detect(self, image: Path) -> Image:
        raw = self._model.signatures[SIGNATURE](self._tensor([image.read_bytes()]))
        n = int(raw["num_detections"][0])
        boxes, scores, classes = (raw[f"detection_{name}"][0, :n].numpy() for name in ("boxes", "scores", "classes"))
        return boxes.tolist(), scores.tolist(), classes.tolist()


def _expected(bundle: Path) -> tuple[Config, LabelMap]:
    return Config.load(bundle / config_file.FILE_NAME), LabelMap.load(bundle)


def _latencies(detect: Detect, images: Sequence[Path]) -> list[float]:
    """Milliseconds of TIMED runs, or as many as TIMED_SECONDS hold but each image once; the first do not count."""
    start, times = time.perf_counter(), list[float]()
    for run, image in enumerate(cycle(images), start=-WARM_UP):
        before = time.perf_counter()
        if len(times) >= max(TIMED, len(images)) or (len(times) >= len(images) and before - start > TIMED_SECONDS):
            break
        detect(image)
        if run >= 0:
            times.append(1000 * (time.perf_counter() - before))
    return times


def _die_with_parent() -> None:
    """Where the kernel is Linux: no model runs on when the process that asked is gone."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
