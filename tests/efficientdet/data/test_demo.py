"""The demo data: sound COCO, the same bytes for the same seed, and an honest eval split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.data import demo
from efficientdet.data.demo import DIGIT_HEIGHT, HELD_OUT, write_demo_data
from efficientdet.errors import DataError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    images = {"train": 3, "eval": 2}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_demo_data(tmp_path / name, seed, images)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a)


def test_it_is_a_coco_data_set_with_legible_digits(tmp_path: Path) -> None:
    write_demo_data(tmp_path / "demo", images={"train": 40}, size=(160, 224))
    instances = json.loads((tmp_path / "demo/annotations/instances_train.json").read_text())
    assert [category["name"] for category in instances["categories"]] == list("0123456789")
    boxes = np.asarray([annotation["bbox"] for annotation in instances["annotations"]])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= 224).all()
    assert (boxes[:, 1] + boxes[:, 3] <= 160).all()
    assert boxes[:, 3].min() >= DIGIT_HEIGHT[0] * 0.8
    assert boxes[:, 3].max() <= DIGIT_HEIGHT[1]
    per_image = Counter(annotation["image_id"] for annotation in instances["annotations"])
    assert set(per_image) == set(range(1, 41))
    assert max(per_image.values()) <= 6
    for entry in instances["images"]:
        with Image.open(tmp_path / "demo/train" / entry["file_name"]) as image:
            assert image.size == (entry["width"], entry["height"]) == (224, 160)


def test_eval_digits_are_never_in_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans, labels = demo._scans()
    used: dict[str, set[bytes]] = {"train": set(), "eval": set()}
    write_split = demo._write_split

    def watch(folder, split, count, size, given, given_labels, rng) -> None:
        used[split] |= {scan.tobytes() for scan in given}
        write_split(folder, split, count, size, given, given_labels, rng)

    monkeypatch.setattr(demo, "_write_split", watch)
    write_demo_data(tmp_path / "demo", images={"train": 1, "eval": 1})
    assert len(scans) == 1797
    assert used["train"].isdisjoint(used["eval"])
    assert np.bincount(labels[-HELD_OUT:], minlength=10).min() >= 30


def test_it_never_writes_over_anything(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="exists and is not an empty folder"):
        write_demo_data(tmp_path)
    with pytest.raises(DataError, match="ask for more"):
        write_demo_data(tmp_path / "demo", size=(64, 64))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_missing_scikit_learn_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="run `pip install scikit-learn`"):
        write_demo_data(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()
