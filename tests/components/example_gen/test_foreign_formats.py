"""CSV, YOLO and TF Object Detection API records become the examples that COCO becomes, with the same account."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.dsl.components.base.base_component import BaseComponent

from components.example_gen import CocoExampleGen, CsvExampleGen, TfodExampleGen, YoloExampleGen
from efficientdet.data import ledger
from efficientdet.data.demo import write_demo_data
from efficientdet.data.fingerprint import csv_fingerprint, tfod_fingerprint, yolo_fingerprint
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

SIZE = 192
COUNTS = {"train": 5, "eval": 3}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The demo data in COCO's form, and the same as a CSV, as a YOLO folder and as foreign TFRecords."""
    base = tmp_path / "data"
    write_demo_data(base, images=COUNTS)
    rows: list[str] = []
    names = []
    for split, csv_set in (("train", "TRAIN"), ("eval", "VALIDATION")):
        data = json.loads((base / f"annotations/instances_{split}.json").read_text())
        names = [category["name"] for category in data["categories"]]
        (base / "labels" / split).mkdir(parents=True)
        (base / "images").mkdir(exist_ok=True)
        (base / "images" / split).symlink_to(base / split)
        with tf.io.TFRecordWriter(str(base / f"{split}.record")) as writer:
            for image in data["images"]:
                boxes = [(a["category_id"], a["bbox"]) for a in data["annotations"] if a["image_id"] == image["id"]]
                labels = base / f"labels/{split}" / f"{Path(image['file_name']).stem}.txt"
                labels.write_text("".join(yolo_row(*box) for box in boxes))
                rows += [csv_row(csv_set, f"{split}/{image['file_name']}", names, *box) for box in boxes]
                writer.write(record(base / split / image["file_name"], names, boxes))
    (base / "digits.csv").write_text("".join(rows))
    (base / "data.yaml").write_text(json.dumps({"train": "images/train", "val": "images/eval", "names": names}))
    return base


def yolo_row(category: int, bbox: list[float]) -> str:
    x, y, w, h = (side / SIZE for side in bbox)
    return f"{category} {x + w / 2} {y + h / 2} {w} {h}\n"


def csv_row(name: str, image: str, names: list[str], category: int, bbox: list[float]) -> str:
    x, y, w, h = (side / SIZE for side in bbox)
    return f"{name},{image},{names[category]},{x},{y},,,{x + w},{y + h},,\n"


def record(path: Path, names: list[str], boxes: list[tuple[int, list[float]]]) -> bytes:
    """Only what every writer of such records writes."""
    example = tf.train.Example()
    features = example.features.feature
    features["image/encoded"].bytes_list.value.append(path.read_bytes())
    features["image/filename"].bytes_list.value.append(path.name.encode())
    for category, (x, y, w, h) in boxes:
        sides = {"xmin": x, "ymin": y, "xmax": x + w, "ymax": y + h}
        for side, value in sides.items():
            features[f"image/object/bbox/{side}"].float_list.value.append(value / SIZE)
        features["image/object/class/text"].bytes_list.value.append(names[category].encode())
    return example.SerializeToString()


def component(name: str, base: Path) -> BaseComponent:
    splits = {"train": "train.record", "eval": "eval.record"}
    yolo, sets = {"train": "train", "eval": "val"}, {"train": "TRAIN", "eval": "VALIDATION"}
    return {
        "csv": lambda: CsvExampleGen(str(base), "digits.csv", sets, 0.0, csv_fingerprint(base, "digits.csv")),
        "yolo": lambda: YoloExampleGen(str(base), yolo, 0.0, yolo_fingerprint(base, yolo)),
        "tfod": lambda: TfodExampleGen(str(base), splits, 0.0, tfod_fingerprint(base, splits)),
    }[name]()


def boxes_of(features: Any) -> np.ndarray:
    sides = [features[f"image/object/bbox/{side}"].float_list.value for side in ("ymin", "xmin", "ymax", "xmax")]
    return np.stack([np.asarray(side) for side in sides], axis=-1)


@pytest.mark.parametrize("name", ["csv", "yolo", "tfod"])
def test_the_same_examples_as_of_coco(name: str, run: Callable[[BaseComponent], Path], records, base: Path) -> None:
    annotations = {split: f"annotations/instances_{split}.json" for split in COUNTS}
    expected = run(CocoExampleGen(str(base), annotations, {split: split for split in COUNTS}, 0.0, ""))
    folder = run(component(name, base))
    assert LabelMap.load(folder).names == sorted(LabelMap.load(expected).names, key=LabelMap.load(folder).names.index)
    for split, count in COUNTS.items():
        ours = {Path(image).name: features for image, features in records(folder, split).items()}
        theirs = records(expected, split)
        assert ours.keys() == theirs.keys()
        assert len(ours) == count
        for image, features in theirs.items():
            for key in ("image/encoded", "image/object/class/text"):
                assert ours[image][key].bytes_list.value == features[key].bytes_list.value
            np.testing.assert_allclose(boxes_of(ours[image]), boxes_of(features), atol=1e-6)
        account = ledger.load(folder)[split]
        assert account.boxes.kept == account.boxes.read == ledger.load(expected)[split].boxes.read


def test_real_records_of_another_writer(run: Callable[[BaseComponent], Path], records, shared: Path) -> None:
    base, splits = shared / "data/raccoon_tfod", {"all": "*.record"}
    folder = run(TfodExampleGen(str(base), splits, 0.0, tfod_fingerprint(base, splits)))
    found = {split: records(folder, split) for split in ("train", "eval")}
    assert sum(map(len, found.values())) == 40
    assert not found["train"].keys() & found["eval"].keys()
    assert LabelMap.load(folder).names == ["raccoon"]
    assert sum(account.boxes.dropped.total() for account in ledger.load(folder).values()) == 0


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        ("csv", lambda base: (base / "digits.csv").unlink(), "annotation file not found"),
        ("yolo", lambda base: (base / "data.yaml").write_text("names: 7"), r"data\.yaml"),
        ("tfod", lambda base: (base / "train.record").write_bytes(b"no records"), r"train\.record"),
    ],
)
def test_data_of_no_use_is_refused_in_a_sentence(
    name: str, damage: Callable[[Path], object], says: str, run: Callable[[BaseComponent], Path], base: Path
) -> None:
    damage(base)
    with pytest.raises(DataError, match=says):
        run(component(name, base))


def test_two_csvs_are_refused(run: Callable[[BaseComponent], Path], base: Path) -> None:
    (base / "other.csv").write_text((base / "digits.csv").read_text())
    with pytest.raises(DataError, match=r"\*\.csv matches .*digits\.csv and .*other\.csv; name one CSV"):
        run(CsvExampleGen(str(base), "*.csv", {"train": "TRAIN", "eval": "VALIDATION"}, 0.0, "fingerprint"))
