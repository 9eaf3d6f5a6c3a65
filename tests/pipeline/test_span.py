"""The newest span, found by TFX's own search in folders and in TensorFlow's file systems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from efficientdet.errors import DataError
from pipeline.config import SourceConfig
from pipeline.span import newest_span

SPANS = {split: f"span-{{SPAN}}/{split}.json" for split in ("train", "eval")}


def source(base: str, splits: dict[str, str] = SPANS, **settings: Any) -> SourceConfig:
    images = {name: f"{pattern.rpartition('/')[0]}/{name}" for name, pattern in splits.items()}
    return SourceConfig.parse({"format": "coco", "path": base, "splits": splits, "images": images, **settings})


def bring(base: str, *files: str) -> None:
    for file in files:
        tf.io.gfile.makedirs(f"{base}/{file}".rpartition("/")[0])
        with tf.io.gfile.GFile(f"{base}/{file}", "w") as stream:
            stream.write("{}")


@pytest.fixture(params=["folder", "ram"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A folder of this machine, and one that only TensorFlow knows, as it knows gs://."""
    yield str(tmp_path) if request.param == "folder" else "ram://spans"
    if tf.io.gfile.exists("ram://spans"):
        tf.io.gfile.rmtree("ram://spans")


def test_the_newest_span_takes_the_place_of_its_braces(base: str):
    bring(base, *(f"span-{span}/{split}.json" for span in (7, 10, 9) for split in SPANS))
    fixed, span = newest_span(source(base, captions={"train": "span-{SPAN}/captions.json"}))
    assert span == "10"
    assert fixed.splits == {"train": "span-10/train.json", "eval": "span-10/eval.json"}
    assert fixed.images == {"train": "span-10/train", "eval": "span-10/eval"}
    assert fixed.captions == {"train": "span-10/captions.json"}
    assert newest_span(fixed) == (fixed, "")


def test_a_span_has_versions_widths_and_dates(tmp_path: Path):
    base = str(tmp_path)
    bring(base, "007/v1/train.json", "007/v2/train.json", "006/v9/train.json", "always/eval.json", "2026-01-03/a.json")
    fixed, span = newest_span(source(base, {"train": "{SPAN:3}/v{VERSION}/train.json", "eval": "always/eval.json"}))
    assert (span, fixed.splits["train"], fixed.images["train"]) == ("7.2", "007/v2/train.json", "007/v2/train")
    assert fixed.splits["eval"] == "always/eval.json"
    dated = {"train": "{YYYY}-{MM}-{DD}/a.json", "eval": "always/eval.json"}
    fixed, span = newest_span(source(base, dated))
    assert (span, fixed.images["train"]) == ("20456", "2026-01-03/train")


def test_a_span_that_is_missing_is_told(base: str):
    with pytest.raises(DataError, match=rf"{base}: there is no span for split train, no file is named as span-\{{SPAN"):
        newest_span(source(base))
    bring(base, "span-7/train.json", "span-7/eval.json", "span-8/train.json")
    with pytest.raises(DataError, match=r"newest span is 8, but split eval .* has none newer than 7; bring what is"):
        newest_span(source(base))
    elsewhere, span = newest_span(source("/nowhere", {"train": "span-{SPAN}/train.json", "eval": "eval.json"}), base)
    assert (span, elsewhere.path) == ("8", "/nowhere")


def test_what_cannot_be_searched_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"s3://bucket: cannot be searched .*'s3' not implemented"):
        newest_span(source("s3://bucket"))
    with pytest.raises(DataError, match=r"source.splits: .* cannot be read \(Only one \{SPAN\} is allowed"):
        newest_span(source(str(tmp_path), {"train": "{SPAN}/{SPAN}.json", "eval": "e.json"}))
    bring(str(tmp_path), "span-old/train.json", "span-old/eval.json")
    with pytest.raises(DataError, match=r"with a number for each of its braces \(Cannot find span number from"):
        newest_span(source(str(tmp_path)))
