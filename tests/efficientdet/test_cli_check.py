"""`efficientdet check` on real shards, and on COCO and VOC data."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import tensorflow as tf
from click.testing import CliRunner, Result
from PIL import Image

from efficientdet.anchor_suggestion import box_shapes, suggest_anchors
from efficientdet.cli import cli, main
from efficientdet.config import Config
from efficientdet.data.demo import write_demo_data
from efficientdet.data.survey import survey
from efficientdet.errors import ProblemsError
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
    """Grey images, all different, with boxes of a quarter of their sides."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for number, of_image in enumerate(classes):
            example, stored = tf.train.Example(), io.BytesIO()
            Image.new("L", (400, 400), number * 40).save(stored, "PNG")
            features = example.features.feature
            features["image/encoded"].bytes_list.value.append(stored.getvalue())
            features["image/source_id"].bytes_list.value.append(str(number).encode())
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
    answer = check(f"--examples={tmp_path}/*.gz", "--json", tmp_path / "check.json")
    assert "class 7 (not in the label map)" in answer.stdout
    assert json.loads((tmp_path / "check.json").read_text())["boxes"] == {"cat": 1, "class 7 (not in the label map)": 1}
    assert isinstance(answer.exception, ProblemsError)
    assert "C401" in str(answer.exception)


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


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A COCO folder of five digits' images, with boxes over the border."""
    write_demo_data(tmp_path / "coco", images={"train": 4, "eval": 1}, size=(96, 96))
    return tmp_path / "coco"


def words(coco: Path) -> list[object]:
    return [
        word
        for split in ("train", "eval")
        for word in ("--coco", coco / f"annotations/instances_{split}.json", "--images", coco / split)
    ]


def test_coco_with_a_page_and_json_on_standard_output(coco: Path, tmp_path: Path):
    answer = check(*words(coco), "--json", "-", "--html", tmp_path / "new" / "look.html")
    assert answer.exit_code == 0, answer.exception
    report = json.loads(answer.stdout)
    assert report["images"] == 5
    assert list(report["splits"]) == ["instances_train", "instances_eval"]
    assert "5 images" in answer.stderr
    assert "<h1>Check of a data set</h1>" in (tmp_path / "new" / "look.html").read_text()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["look.html"]


def test_strict_and_the_exit_codes(coco: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert check(*words(coco)).exit_code == 0, "rare classes are warnings"
    strict = ["efficientdet", "check", *map(str, words(coco)), "--strict"]
    monkeypatch.setattr("sys.argv", strict)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    said = capsys.readouterr().err.strip()
    assert said.startswith("efficientdet: the data set has ")
    assert "C403" in said
    assert "\n" not in said


def test_a_clean_copy_is_clean(coco: Path, tmp_path: Path):
    path = coco / "annotations/instances_train.json"
    instances = json.loads(path.read_text())
    instances["annotations"][0]["bbox"] = [0, 0, 0, 0]
    path.write_text(json.dumps(instances))
    answer = check(*words(coco)[:4], "--fix", tmp_path / "clean")
    assert isinstance(answer.exception, ProblemsError)
    assert str(tmp_path / "clean/instances_train.json") in answer.stdout
    again = check("--coco", tmp_path / "clean/instances_train.json", "--images", coco / "train")
    assert again.exit_code == 0, again.exception


def test_voc_splits(shared: Path):
    answer = check("--voc", shared / "data/bccd/BCCD", "--split", "train", "--split=test")
    assert isinstance(answer.exception, ProblemsError)
    assert "train: images 205 = 205 kept; boxes 2805 = 2804 kept + 1 dropped (1 zero-area box)" in answer.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "in one of three ways"),
        (["--examples=a", "--voc=b"], "in one of three ways"),
        (["--coco=a.json"], "1 times --coco, but 0 times --images"),
        (["--coco=none.json", "--images=."], "none.json: annotation file not found"),
        (["--voc=none"], "--voc needs --split"),
        (["--voc=none", "--split=train"], "image set not found"),
    ],
)
def test_what_to_check_must_be_clear(words: list[str], says: str):
    answer = check(*words)
    assert answer.exit_code == 1
    assert says in str(answer.exception)
