"""Size and speed of what ships, as far as bounds ask for them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from components.evaluator.example import Example, read_example, undecodable
from efficientdet.bundle import variants
from efficientdet.data.input_pipeline import read_records
from efficientdet.infra_validation import measure

IMAGES = 16
"""How many of a split's images are timed."""


def measure_runtimes(bundle: Path, split: str, timed: bool) -> dict[str, dict[str, float]]:
    """By variant the `bytes` of each file and, if `timed`, the median `latency_ms` of one image in a fresh process.

    Args:
      bundle: the folder of the files.
      split: the folder of the images' shards. Those that cannot be read are left out.
      timed: whether to run the files. One that does not run has no latency.
    """
    runtimes = {variant: {"bytes": float(size(path))} for variant, path in variants(bundle).items()}
    for variant, runtime in (measure(bundle, _pictures(split)) if timed else {}).items():
        if runtime.latency_ms is not None:
            runtimes[variant]["latency_ms"] = runtime.latency_ms
    return runtimes


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())


def _pictures(split: str) -> list[bytes]:
    examples = (read_example(record.numpy()) for record in read_records(f"{split}/*"))
    readable = (each for each in examples if isinstance(each, Example) and not undecodable(each))
    return [example.picture for example in islice(readable, IMAGES)]
