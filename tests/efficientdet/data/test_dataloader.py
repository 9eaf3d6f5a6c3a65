"""One data set through every format and back from the cache."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.data.dataloader import DataLoader
from efficientdet.data.input_pipeline import read_examples
from efficientdet.errors import ConfigError, DataError, ModelError
from efficientdet.label_map import LabelMap

from .conftest import ANNOTATIONS

DIGITS = [f"digit {digit}" for digit in range(10)]


def boxes_of(loader: DataLoader) -> dict[bytes, NDArray[np.float32]]:
    """Per image its boxes and class names, sorted."""
    found = {}
    for example in read_examples(loader.pattern).as_numpy_iterator():
        names = [int(loader.labels[int(c)].name[-1]) for c in example["classes"]]
        rows = np.column_stack([example["boxes"], names])
        found[example["image_bytes"]] = rows[np.lexsort(rows.T)]
    return found


@pytest.fixture
def from_voc(voc: Path) -> Callable[..., DataLoader]:
    def load(label_map: Any = DIGITS, **options: Any) -> DataLoader:
        return DataLoader.from_pascal_voc(str(voc / "JPEGImages"), str(voc / "Annotations"), label_map, **options)

    return load


@pytest.fixture
def csv_file(coco: Path, write_csv: Callable[..., Any]) -> Path:
    """Two images to train with and one to test, beside the folder of their images."""
    sets = {"TRAIN": ("train", slice(0, 2)), "TEST": ("train", slice(2, 3))}
    write_csv(coco / "digits.csv", coco, sets)
    return coco / "digits.csv"


def test_all_formats_give_the_same_examples(from_voc, coco: Path, csv_file: Path) -> None:
    voc = from_voc()
    loaders = [DataLoader.from_coco(coco / "train", coco / ANNOTATIONS), from_voc(DIGITS[::-1])]
    train, validation, test = DataLoader.from_csv(str(csv_file))
    assert validation is None
    assert (len(train), train.size, len(test), len(voc)) == (2, 2, 1, 3)
    expected = boxes_of(voc)
    for found in (*map(boxes_of, loaders), boxes_of(train) | boxes_of(test)):
        assert found.keys() == expected.keys()
        for image, rows in found.items():
            np.testing.assert_allclose(rows, expected[image], atol=1e-3)
    assert train.labels == test.labels
    assert voc.ledger.images.kept == 3
    assert voc.ledger.boxes.kept == sum(map(len, expected.values()))


def test_images_of_a_csv_may_be_given_by_folder_path_or_address(coco: Path, csv_file: Path, tmp_path: Path) -> None:
    expected = boxes_of(DataLoader.from_csv(csv_file)[0])
    away = tmp_path / "away.csv"
    shutil.copy(csv_file, away)
    tf.io.gfile.makedirs("ram://digits")
    for name in ("000001.jpg", "000002.jpg", "000003.jpg"):
        tf.io.gfile.copy(str(coco / "train" / name), f"ram://digits/{name}", overwrite=True)
    tf.io.gfile.copy(str(csv_file), "ram://digits/digits.csv", overwrite=True)
    assert boxes_of(DataLoader.from_csv(away, images_dir=coco)[0]).keys() == expected.keys()
    for prefix in (f"{coco}/train/", "ram://digits/"):
        away.write_text(csv_file.read_text().replace("train/", prefix))
        assert boxes_of(DataLoader.from_csv(away, cache_dir=tmp_path / "cache")[0]).keys() == expected.keys()
    tf.io.gfile.copy(str(away), "ram://digits/away.csv", overwrite=True)
    assert boxes_of(DataLoader.from_csv("ram://digits/away.csv")[0]).keys() == expected.keys()
    with pytest.raises(DataError, match=r"split .*: not one of 2 images can be used; first: .*away\.csv, image ram://"):
        DataLoader.from_csv(away, images_dir=coco, cache_dir=tmp_path / "other")


def test_what_was_cached_is_loaded_again(from_voc, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = from_voc(cache_dir=tmp_path / "cache", cache_prefix_filename="train", num_shards=2)
    assert first.folder == tmp_path / "cache/train"
    again = DataLoader.from_cache(f"{tmp_path}/cache/train")
    assert (again.size, again.labels, again.label_map) == (3, first.labels, dict(enumerate(DIGITS, start=1)))
    assert [Path(shard).name for shard in again.shards] == [f"data-0000{i}-of-00002.gz" for i in (0, 1)]
    assert boxes_of(again).keys() == boxes_of(first).keys()
    made = (first.folder / "info.json").stat().st_mtime_ns
    with caplog.at_level(logging.INFO, "efficientdet"):
        from_voc(cache_dir=tmp_path / "cache", cache_prefix_filename="train", num_shards=2)
    assert "the examples there are used" in caplog.text
    assert (first.folder / "info.json").stat().st_mtime_ns == made


def test_a_cache_of_other_data_is_made_anew(from_voc, voc: Path, tmp_path: Path) -> None:
    options = {"cache_dir": tmp_path / "cache", "cache_prefix_filename": "train"}
    assert len(from_voc(**options)) == 3
    assert len(from_voc(**options, max_num_images=2)) == 2
    for limit in (0, -1):
        with pytest.raises(DataError, match=f"max_num_images={limit}: must be 1 or more"):
            from_voc(**options, max_num_images=limit)
    shutil.copy(voc / "JPEGImages/000001.jpg", voc / "JPEGImages/000002.jpg")
    images = boxes_of(from_voc(**options))
    assert len(images) == 2, "the copy is read"
    assert len({from_voc(cache_dir=tmp_path / "cache", num_shards=n).folder for n in (1, 2, 2)}) == 2


def test_the_pipelines_examples_are_a_cache_too(digit_shards: Path) -> None:
    loader = DataLoader.from_cache(digit_shards / "Split-train")
    assert (loader.size, loader.ledger) == (12, None)
    assert loader.label_map == {digit: str(digit) for digit in range(10)}, "COCO's own ids"


def test_folders_named_like_patterns(from_voc, tmp_path: Path) -> None:
    loader = from_voc(cache_dir=tmp_path / "[1]*", cache_prefix_filename="a")
    assert len(boxes_of(loader)) == 3


def test_bad_records_are_bounded(from_voc, voc: Path, truncate) -> None:
    truncate(voc / "JPEGImages/000002.jpg")
    with pytest.raises(DataError, match=r"1 of 3 images \(33\.3%\) cannot be used \(1 undecodable image\)") as error:
        from_voc()
    refused = Path(str(error.value).partition("mend what ")[2].partition(" lists")[0])
    assert "000002" in refused.read_text(), "the list outlives the folder"
    refused.unlink()
    loader = from_voc(max_bad_fraction=0.7)
    assert (len(loader), loader.ledger.images.dropped) == (2, {"undecodable image": 1})


def test_bad_rows_are_booked_with_their_set(csv_file: Path) -> None:
    rows = csv_file.read_text().splitlines()
    csv_file.write_text("\n".join([*rows, "HOLDOUT" + rows[0][5:], "TEST,short"]))
    train, _, test = DataLoader.from_csv(csv_file, max_bad_fraction=0.5)
    assert train.ledger.boxes.dropped == {"unknown set": 1, "malformed row": 1}
    assert not test.ledger.boxes.dropped


@pytest.mark.parametrize(
    ("given", "names", "ids"),
    [
        (["b", "a"], ["b", "a"], [1, 2]),
        ({0: "background", 7: "a", 3: "b"}, ["b", "a"], [3, 7]),
        ("waymo", ["vehicle", "pedestrian", "cyclist"], [1, 2, 3]),
        ("file", ["b", "a"], [1, 2]),
    ],
)
def test_label_maps_as_model_maker_takes_them(from_voc, tmp_path: Path, given: Any, names: list[str], ids: list[int]):
    if given == "file":
        (tmp_path / "labels.yaml").write_text("{1: b, 2: a}")
        given = str(tmp_path / "labels.yaml")
    loader = from_voc(given, max_bad_fraction=1.0)  # no such objects: negatives all
    assert (loader.labels.names, list(loader.label_map)) == (names, ids)


def test_chosen_annotations_and_difficult_objects(from_voc, voc: Path) -> None:
    xml = voc / "Annotations/000001.xml"
    xml.write_text(xml.read_text().replace("<difficult>0", "<difficult>1", 1))
    whole, easy = (
        from_voc(annotation_filenames=["000001", "000003.xml"], ignore_difficult_instances=ignore)
        for ignore in (False, True)
    )
    assert len(whole) == len(easy) == 2
    assert whole.ledger.boxes.read == easy.ledger.boxes.read + 1


def test_a_split_keeps_every_image_once_and_copies_together(from_voc, voc: Path) -> None:
    for i in range(4, 20):
        shutil.copy(voc / "Annotations/000001.xml", voc / f"Annotations/{i:06}.xml")
        text = (voc / f"Annotations/{i:06}.xml").read_text()
        (voc / f"Annotations/{i:06}.xml").write_text(text.replace("000001.jpg", f"{i:06}.jpg"))
        photo = (voc / "JPEGImages/000001.jpg").read_bytes()
        (voc / f"JPEGImages/{i:06}.jpg").write_bytes(photo + bytes([i // 2]))
    whole = from_voc()
    first, rest = whole.split(0.75)
    assert len(first) + len(rest) == len(whole) == 19
    assert 11 <= len(first) <= 15
    assert not boxes_of(first).keys() & boxes_of(rest).keys()
    assert boxes_of(first).keys() | boxes_of(rest).keys() == boxes_of(whole).keys()
    assert first.labels == rest.labels == whole.labels
    assert [shard.read_bytes() for shard in map(Path, whole.split(0.75)[0].shards)] == [
        shard.read_bytes() for shard in map(Path, first.shards)
    ]
    for fraction in (0, 1, -1, math.nan):
        with pytest.raises(DataError, match=r"cannot be split at .*; give a number between 0 and 1"):
            whole.split(fraction)
    with pytest.raises(DataError, match=r"19 images cannot be split at 0.01; one part is empty"):
        whole.split(0.01)


def test_mistakes_are_one_sentence(voc: Path, tmp_path: Path, from_voc) -> None:
    for call, kind, words in (
        (lambda: DataLoader.from_pascal_voc(voc, tmp_path / "none", ["a"]), DataError, "none: holds no XML at all"),
        (lambda: DataLoader.from_cache(tmp_path), DataError, "holds no examples"),
        (lambda: DataLoader.from_coco(voc, tmp_path / "none.json"), DataError, "annotation file not found"),
        (lambda: from_voc("none.yaml"), ConfigError, "neither a label map file nor one of"),
        (lambda: from_voc(["a", "a"]), DataError, "name 'a' is given to two classes"),
        (lambda: from_voc().check_labels(LabelMap.from_names("ab"), "m"), ModelError, r"m: is for 2 classes \(a, b\)"),
    ):
        with pytest.raises(kind, match=words) as error:
            call()
        assert "\n" not in str(error.value)


def test_coco_counts_objects_of_no_image(coco: Path, edit) -> None:
    edit(lambda instances: instances["annotations"].append({"id": 99, "image_id": 99, "category_id": 1}))
    loader = DataLoader.from_coco(coco / "train", coco / ANNOTATIONS, max_num_images=2, max_bad_fraction=0.5)
    assert (len(loader), dict(loader.ledger.boxes.dropped)) == (2, {"unknown image id": 1})
    assert list(loader.label_map) == [c["id"] for c in json.loads((coco / ANNOTATIONS).read_text())["categories"]]
