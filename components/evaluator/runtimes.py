"""Size and latency of what ships, for the ceilings that a configuration sets."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from efficientdet.blessing import Bounds
from efficientdet.bundle import variants
from efficientdet.infra_validation import measure
from efficientdet.report.pictures import stored_pictures

IMAGES = 16
"""Of the split, on which latency is measured."""


def runtimes(bundle: Path, bounds: Bounds, pattern: str) -> dict[str, Mapping[str, float]]:
    """By variant its `bytes` and, where a ceiling asks for it, `latency_ms`: the median on the first images of shards.

    A file that does not run has no latency.
    """
    found = {variant: {"bytes": float(size(path))} for variant, path in variants(bundle).items()}
    if bounds.max_latency_ms:
        images = [encoded for _, encoded in islice(stored_pictures(pattern), IMAGES)]
        for variant, runtime in measure(bundle, images).items():
            if runtime.latency_ms is not None:
                found[variant]["latency_ms"] = runtime.latency_ms
    return dict(found)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())
