"""`efficientdet check`, on real shards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from efficientdet.anchor_suggestion import box_shapes, suggest_anchors
from efficientdet.cli import cli
from efficientdet.config import Config
from efficientdet.data.survey import survey
from efficientdet.label_map import LabelMap


def check(*words: object) -> Result:
    return CliRunner().invoke(cli, ["check", *(str(word) for word in words)])


def test_what_the_examples_hold_and_which_anchors_fit(digit_shards: Path, tmp_path: Path):
    pattern, config = f"{digit_shards}/Split-train/*", Config().override("image_size=64,aspect_ratios=3.0*4.0")
    words = ["--model_name=efficientdet-lite0", "--hparams=image_size=64,aspect_ratios=3.0*4.0"]
    answer = check(f"--examples={pattern}", *words, "--json", tmp_path / "check.json")
    assert answer.exit_code == 0, answer.exception
    written = json.loads((tmp_path / "check.json").read_text())
    found = survey(pattern)
    assert (written["images"], written["images_without_boxes"], written["most_boxes"]) == (12, found.empty, found.most)
    assert written["boxes"] == {label.name: found.boxes[label.id] for label in LabelMap.load(digit_shards)}
    suggestion = suggest_anchors(box_shapes(pattern, config), config)
    assert suggestion.is_new
    assert written["anchors"]["suggested"]["aspect_ratios"] == list(suggestion.suggested.aspect_ratios)
    assert f"--hparams '{suggestion.hparams}'" in answer.stdout
    assert f"{suggestion.current.mean_iou:.3f}" in answer.stdout
    again = check(f"--examples={pattern}", *words[:1], f"--hparams=image_size=64,{suggestion.hparams}")
    assert "the configured aspect ratios fit as they are" in again.stdout


def write_shard(path: Path, classes: list[list[int]]) -> None:
    """Images without pixels, with boxes of a quarter of their sides."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for of_image in classes:
            example = tf.train.Example()
            features = example.features.feature
            for key in ("encoded", "source_id"):
                features[f"image/{key}"].bytes_list.value.append(b"x")
            for key in ("height", "width"):
                features[f"image/{key}"].int64_list.value.append(400)
            features["image/object/class/label"].int64_list.value.extend(of_image)
            for side, value in (("ymin", 0.25), ("xmin", 0.25), ("ymax", 0.5), ("xmax", 0.5)):
                features[f"image/object/bbox/{side}"].float_list.value.extend([value] * len(of_image))
            writer.write(example.SerializeToString())


def test_images_without_boxes_get_no_suggestion(tmp_path: Path):
    write_shard(tmp_path / "a.gz", [[], []])
    (tmp_path / "label_map.json").write_text(LabelMap.from_names(["cat"]).to_json())
    answer = check(f"--examples={tmp_path}/*.gz", "--json", tmp_path / "check.json")
    assert answer.exit_code == 0, answer.exception
    assert "2 images, 2 of them without a box" in answer.stdout
    assert "no anchors are suggested" in answer.stdout
    assert json.loads((tmp_path / "check.json").read_text())["anchors"] is None


def test_classes_that_the_label_map_lacks_are_shown(tmp_path: Path):
    write_shard(tmp_path / "a.gz", [[1, 7]])
    (tmp_path / "label_map.json").write_text(LabelMap.from_names(["cat"]).to_json())
    answer = check(f"--examples={tmp_path}/*.gz")
    assert "class 7 (not in the label map)" in answer.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--examples={tmp}/none/*"], "no file matches"),
        (["--examples={tmp}/*.gz"], "holds no images"),
        (["--examples={tmp}/*.gz", "--label-map={tmp}/none"], "holds no label_map.json"),
        (["--examples={tmp}/*.gz", "--hparams=aspect_ratio=3"], "did you mean"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, words: list[str], says: str):
    write_shard(tmp_path / "a.gz", [])
    (tmp_path / "label_map.json").write_text(LabelMap.from_names(["cat"]).to_json())
    answer = check(*(word.format(tmp=tmp_path) for word in words))
    assert answer.exit_code == 1
    assert says in str(answer.exception)
    assert "\n" not in str(answer.exception)
