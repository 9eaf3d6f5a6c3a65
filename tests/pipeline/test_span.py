"""The newest span, found by TFX's own search in folders and in TensorFlow's file systems."""

from __future__ import annotations

import re
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
    bring(base, *(f"span-10/{split}/1.jpg" for split in SPANS), "span-10/captions.json")
    fixed, span = newest_span(source(base, captions={"train": "span-{SPAN}/captions.json"}))
    assert span == "10"
    assert fixed.splits == {"train": "span-10/train.json", "eval": "span-10/eval.json"}
    assert fixed.images == {"train": "span-10/train", "eval": "span-10/eval"}
    assert fixed.captions == {"train": "span-10/captions.json"}
    assert newest_span(fixed) == (fixed, "")


def test_a_span_has_versions_widths_and_dates(tmp_path: Path):
    base = str(tmp_path)
    bring(base, "007/v1/train.json", "007/v2/train.json", "006/v9/train.json", "always/eval.json", "2026-01-03/a.json")
    bring(base, "007/v2/train/1.jpg", "2026-01-03/train/1.jpg")
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
    bring(base, "span-8/train/1.jpg")
    elsewhere, span = newest_span(source("/nowhere", {"train": "span-{SPAN}/train.json", "eval": "eval.json"}), base)
    assert (span, elsewhere.path) == ("8", "/nowhere")


def test_what_cannot_be_searched_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"s3://bucket: cannot be searched .*'s3' not implemented"):
        newest_span(source("s3://bucket"))
    with pytest.raises(DataError, match=r"source.splits: .* cannot be read \(Only one \{SPAN\} is allowed"):
        newest_span(source(str(tmp_path), {"train": "{SPAN}/{SPAN}.json", "eval": "e.json"}))
    bring(str(tmp_path), "span-old/train.json", "span-old/eval.json")
    with pytest.raises(DataError, match=r"for each of its braces \(.*/span-old/train.json is there, but has none\)"):
        newest_span(source(str(tmp_path)))
    with pytest.raises(DataError, match=r"'\{SPAN/train.json' cannot be read; write \{SPAN\}"):
        newest_span(source(str(tmp_path), {"train": "{SPAN/train.json", "eval": "e.json"}))


@pytest.mark.parametrize(
    ("pattern", "newest", "others"),
    [
        ("span-{SPAN}", "span-7", ["span-8.partial", "span-old", "span--9", "span-٣"]),
        ("{SPAN:3}", "007", ["0008", "9"]),
        ("{YYYY}-{MM}-{DD}", "2026-01-03", ["2026-01-03.bak", "2026-02-31", "aaaa-bb-cc"]),
        ("{SPAN}/v{VERSION}", "7/v1", ["7/v2.partial", "8/vx"]),
    ],
)
def test_names_without_a_number_are_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pattern: str, newest: str, others: list[str]
):
    bring(str(tmp_path), *(f"{folder}/{name}.json" for folder in (newest, *others) for name in SPANS))
    for name in SPANS:
        (tmp_path / newest / name).mkdir()
    fixed, _ = newest_span(source(str(tmp_path), {split: f"{pattern}/{split}.json" for split in SPANS}))
    assert (fixed.splits["train"], fixed.images["eval"]) == (f"{newest}/train.json", f"{newest}/eval")
    for other in others:
        told = f"{other}/train.json is left out: it has no number where {pattern}/train.json has braces; rename or move"
        assert told in caplog.text


def test_images_are_where_the_split_is_and_are_there(tmp_path: Path):
    bring(str(tmp_path), *(f"007/{split}.json" for split in SPANS), "007/train/1.jpg")
    splits = {split: f"{{SPAN}}/{split}.json" for split in SPANS}
    with pytest.raises(DataError, match=r"/007/eval: is not there, though span 7 of split eval is; bring it, or mend"):
        newest_span(source(str(tmp_path), splits))
    (tmp_path / "007/eval").mkdir()
    fixed, span = newest_span(source(str(tmp_path), splits))
    assert (fixed.images, span) == ({"train": "007/train", "eval": "007/eval"}, "7")


@pytest.mark.parametrize(
    ("split", "images"),
    [
        ("7/{}.json", "{SPAN}/train"),
        ("{YYYY}-{MM}-{DD}/{}.json", "{SPAN}/train"),
        ("{SPAN}/{}.json", "{SPAN}/v{VERSION}"),
        ("{SPAN}/{}.json", "{SPAN/train"),
    ],
)
def test_braces_of_images_are_those_of_their_split(tmp_path: Path, split: str, images: str):
    bring(str(tmp_path), *(f"{folder}/{name}.json" for folder in ("7", "2026-01-03") for name in SPANS))
    splits = {name: split.replace("{}", name) for name in SPANS}
    asked = source(str(tmp_path), splits).override({"images": {"train": images}})
    with pytest.raises(
        DataError, match=rf"source.images.train: {re.escape(repr(images))} has braces that are not those"
    ):
        newest_span(asked)
