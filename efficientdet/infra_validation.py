"""Does what ships run where it is used? Each file of a bundle in a fresh process, within limits.

Nothing that a file does there, a crash, a hang or a flood of memory, reaches the process that asks.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from pydantic import TypeAdapter

from efficientdet import probe
from efficientdet.agreement import IOU, SCORE, Agreement, agreement
from efficientdet.boxes import yxyx_to_xywh
from efficientdet.bundle import unjudged, variants, verify_manifest
from efficientdet.errors import EfficientDetError
from efficientdet.guarded_process import run_guarded
from efficientdet.infra_blessing import Infra, InfraBlessing, Runtime
from efficientdet.label_map import LabelMap
from efficientdet.probe import Answer, Job
from efficientdet.scored_image import Found, ScoredImage


@dataclass(frozen=True)
class Record:
    """One image of a split.

    encoded: as it is stored. pixels `[h, w, 3]` uint8: as the evaluation decoded it. scored: what was found then,
    None where nothing was scored, since a file did not run.
    """

    encoded: bytes
    pixels: NDArray[np.uint8]
    scored: ScoredImage | None


def measure(
    folder: str | Path, images: Sequence[bytes], infra: Infra | None = None, latency: bool = True
) -> dict[str, Runtime]:
    """How each file of the bundle in `folder` does on encoded images, by variant: size, memory, and latency if asked.

    Nothing is asked of the files but that they run within the limits of `infra`.
    """
    infra = infra or Infra()
    with TemporaryDirectory() as place:
        paths = [str(_written(Path(place) / f"{i}", image)) for i, image in enumerate(images)]
        compared, timed = ([], paths) if latency else (paths, [])
        runtimes = {}
        for variant, path in variants(folder).items():
            job = Job(str(path.absolute()), None, infra.threads, compared, timed)
            runtimes[variant], _ = _try(variant, job, infra)
    return runtimes


def validate(folder: str | Path, records: Sequence[Record], infra: Infra | None = None) -> InfraBlessing:
    """The verdict on every file of the bundle in `folder`.

    A file passes when its bytes are those of the manifest, it offers what consumers rely on
    (`efficientdet.model_contract`), runs every record within the limits of `infra`, and finds what the evaluation has
    found. For a TFLite file that is asked of the very pixels that were scored: its consumers decode a JPEG with
    another library, which alone changes a tenth of a quantised detector's answers. Its latency is that of the image
    as it is stored.
    """
    folder, infra = Path(folder).absolute(), infra or Infra()
    files, untried = variants(folder), tuple(unjudged(folder))
    try:
        verify_manifest(folder)
        label_map = LabelMap.load(folder)
    except EfficientDetError as error:
        runtimes = [_failed(Runtime(variant, "PASSED", "", _size(path)), str(error)) for variant, path in files.items()]
        return InfraBlessing(tuple(runtimes), 0, infra.threads, machine(), untried)
    with TemporaryDirectory() as place:
        stored = [str(_written(Path(place) / f"{i}", record.encoded)) for i, record in enumerate(records)]
        decoded = [str(_png(Path(place) / f"{i}.png", record.pixels)) for i, record in enumerate(records)]
        runtimes = []
        for variant, path in files.items():
            compared = decoded if path.is_file() else stored
            runtime, answer = _try(variant, Job(str(path), str(folder), infra.threads, compared, stored), infra)
            runtimes.append(_judged(runtime, answer, records, len(label_map), infra) if answer else runtime)
    return InfraBlessing(tuple(runtimes), len(records), infra.threads, machine(), untried)


def machine() -> str:
    """The processor and its cores, as far as the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else os.uname().machine}, {os.cpu_count()} cores"


def _try(variant: str, job: Job, infra: Infra) -> tuple[Runtime, Answer | None]:
    """One file in a process of its own: how it did, and its answer if it is to be trusted so far."""
    with TemporaryDirectory() as place:
        asked, answered, messages = (Path(place) / name for name in ("job.json", "answer.json", "messages"))
        asked.write_text(json.dumps(asdict(job)), encoding="utf-8")
        command = [sys.executable, "-m", probe.__name__, str(asked), str(answered)]
        memory = round(infra.max_memory_mb * 1e6) if infra.max_memory_mb else None
        ended = run_guarded(command, messages, infra.timeout_s, memory, _environment(infra.threads))
        answer = _read(answered)
    runtime = Runtime(variant, "PASSED", "", _size(Path(job.file)), peak_bytes=ended.peak_bytes)
    if ended.failure or answer is None:
        return _failed(runtime, ended.failure or "gave no answer that can be read"), None
    if answer.faults or answer.error:
        return _failed(runtime, "; ".join(answer.faults) or f"cannot be run: {answer.error}"), None
    return _timed(runtime, answer.latency_ms, infra), answer


def _environment(threads: int) -> dict[str, str]:
    """What TensorFlow goes by: no accelerator, which consumers may lack and this process may hold, and few threads."""
    count = str(threads)
    quiet = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**quiet, "TF_NUM_INTRAOP_THREADS": count, "TF_NUM_INTEROP_THREADS": count}


def _read(path: Path) -> Answer | None:
    try:
        return TypeAdapter(Answer).validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _timed(runtime: Runtime, latency_ms: Sequence[float], infra: Infra) -> Runtime:
    if not latency_ms:
        return runtime
    median, p95 = np.quantile(latency_ms, [0.5, 0.95]).round(3).tolist()
    runtime = replace(runtime, latency_ms=median, latency_p95_ms=p95)
    if infra.max_latency_ms and median > infra.max_latency_ms:
        return _failed(runtime, f"an image takes {median:.1f} ms, above the ceiling of {infra.max_latency_ms:g} ms")
    return runtime


def _judged(runtime: Runtime, answer: Answer, records: Sequence[Record], classes: int, infra: Infra) -> Runtime:
    """The same after a look at what was found."""
    if len(answer.found) != len(records):
        return _failed(runtime, f"answered for {len(answer.found)} of {len(records)} images")
    each: dict[str, Agreement] = {}
    for number, (record, image) in enumerate(zip(records, answer.found, strict=True)):
        name = record.scored.image_id if record.scored else f"number {number}"
        if nonsense := _nonsense(image, classes):
            return _failed(runtime, f"answers nonsense for image {name}: {nonsense}")
        if not record.scored or runtime.variant not in record.scored.found:
            return _failed(runtime, f"was not scored on image {name}; evaluate the bundle again")
        each[name] = agreement(_found(image), record.scored.found[runtime.variant])
    share = sum(each.values(), Agreement()).share
    runtime = replace(runtime, agreement=round(share, 6))
    if share >= infra.min_agreement:
        return runtime
    worst = min(each, key=lambda name: each[name].share)
    return _failed(
        runtime,
        f"finds something else than the evaluation did: {share:.1%} of the detections agree in class, box (IoU {IOU})"
        f" and score (within {SCORE}), below the floor of {infra.min_agreement:.1%}; image {worst} differs most",
    )


def _nonsense(image: probe.Image, classes: int) -> str:
    """What no detector of so many classes can mean; empty when there is nothing."""
    boxes, scores, ids = np.array(image[0], float).reshape(-1, 4), np.array(image[1], float), np.array(image[2])
    if not len(boxes) == len(scores) == len(ids):
        return f"{len(boxes)} boxes, {len(scores)} scores and {len(ids)} classes"
    if not np.isfinite(boxes).all() or not np.isfinite(scores).all():
        return "a box or score is not a number"
    bad_scores = scores[(scores < 0) | (scores > 1)]
    bad_ids = ids[(ids < 1) | (ids > classes)]
    bad_boxes = boxes[(boxes[:, :2] > boxes[:, 2:]).any(axis=1)]
    if len(bad_scores):
        return f"a score of {bad_scores[0]:g}"
    if len(bad_ids):
        return f"class {bad_ids[0]} of {classes}"
    return f"box {bad_boxes[0].tolist()} ends before it begins" if len(bad_boxes) else ""


def _found(image: probe.Image) -> Found:
    boxes = yxyx_to_xywh(np.array(image[0], np.float64).reshape(-1, 4))
    return Found(boxes, np.array(image[2], np.int32), np.array(image[1], np.float64))


def _failed(runtime: Runtime, failure: str) -> Runtime:
    """The runtime with one more thing that it failed by."""
    said = f"{runtime.reason}; {failure}" if runtime.reason else f"{runtime.variant}: {failure}"
    return replace(runtime, outcome="FAILED", reason=said)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _png(path: Path, pixels: NDArray[np.uint8]) -> Path:
    Picture.fromarray(pixels).save(path, compress_level=1)
    return path
