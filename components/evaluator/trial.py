"""What ships is tried before it is scored: a file that takes its process down is a verdict, not the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from efficientdet.blessing import Bounds, Rule
from efficientdet.bundle import variants
from efficientdet.data.input_pipeline import decode_image
from efficientdet.infra_blessing import Infra
from efficientdet.infra_validation import measure
from efficientdet.report.pictures import stored_pictures

IMAGES = 16
"""Of the split, on which latency is measured."""


class Trial(NamedTuple):
    """How the files of a bundle did on their own.

    runtimes: by variant its `bytes` and, where a ceiling asks for it, `latency_ms`, the median of single images.
    failures: why a variant does not run, a sentence by its name; empty when all do.
    """

    runtimes: dict[str, Mapping[str, float]]
    failures: dict[str, str]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """A rule that is not kept for each file that does not run."""
        return tuple(
            Rule(f"runs.{variant}", None, None, "FAILED", f"{sentence}; nothing was scored")
            for variant, sentence in self.failures.items()
        )


def try_out(bundle: Path, bounds: Bounds, pattern: str, timeout_s: float) -> Trial:
    """Runs each file of a bundle on the first images of a split, in so many seconds and what memory is free.

    pattern: the split's shards.
    """
    timed = bool(bounds.max_latency_ms)
    whole = (encoded for _, encoded in stored_pictures(pattern) if _decodes(encoded))
    images = list(islice(whole, IMAGES if timed else 1))
    found = measure(bundle, images or [_blank()], Infra(timeout_s=timeout_s), latency=timed)
    sizes = {variant: {"bytes": float(size(path))} for variant, path in variants(bundle).items()}
    times = {name: {"latency_ms": each.latency_ms} for name, each in found.items() if each.latency_ms is not None}
    failures = {name: each.reason for name, each in found.items() if each.outcome == "FAILED"}
    return Trial({variant: sizes[variant] | times.get(variant, {}) for variant in sizes}, failures)


def _decodes(encoded: bytes) -> bool:
    """Whether it is a picture; one that is not says nothing of the files, and is counted where it is scored."""
    try:
        decode_image(encoded)
    except tf.errors.InvalidArgumentError:
        return False
    return True


def _blank() -> bytes:
    return bytes(tf.io.encode_png(tf.zeros([64, 64, 3], tf.uint8)).numpy())


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())
