from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tfx.types import Artifact, standard_artifacts
from tfx.utils import json_utils

from components.evaluator.example import read_example
from components.evaluator.executor import Executor
from components.evaluator.record import SCORED_FOLDER, read_throughput
from components.evaluator.results import read_metrics
from efficientdet.blessing import Blessing
from efficientdet.boxes import yxyx_to_xywh
from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE, write_manifest
from efficientdet.coco_metric import COCO_METRICS
from efficientdet.config import Config
from efficientdet.data.input_pipeline import read_examples, read_records
from efficientdet.errors import DataError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.registry import open_registry
from efficientdet.scored_image import read_scored_images
from efficientdet.split_identity import TAG, split_identity

from .conftest import local_beam, write_crashing_bundle, write_records

Bundle = Callable[..., Path]
SCORE = float(np.float32(0.9))


def evaluate(
    folder: Path, examples: Path, model: Path, baseline: str = "", registry: dict | None = None, **bounds: Any
) -> Blessing:
    """Runs the executor as TFX does; TFX's own blessing file must say the same as ours."""
    artifacts = {
        "examples": artifact(standard_artifacts.Examples, examples),
        "model": artifact(standard_artifacts.Model, model),
        "evaluation": artifact(standard_artifacts.ModelEvaluation, folder / "evaluation"),
        "blessing": artifact(standard_artifacts.ModelBlessing, folder / "blessing"),
    }
    artifacts["examples"][0].split_names = '["eval"]'
    inputs = {name: artifacts[name] for name in ("examples", "model")}
    outputs = {name: artifacts[name] for name in ("evaluation", "blessing")}
    properties = {
        "bounds": json.dumps(bounds),
        "registry": json.dumps(registry or {}),
        "baseline": baseline,
        "timeout_s": 600.0,
        "example_splits": json_utils.dumps(["eval"]),
    }
    (folder / "blessing").mkdir(parents=True)
    context = Executor.Context(make_beam_pipeline_fn=local_beam, tmp_dir=str(folder))
    Executor(context).Do(inputs, outputs, properties)
    blessing = Blessing.load(folder / "blessing")
    assert (folder / "blessing" / ("BLESSED" if blessing.blessed else "NOT_BLESSED")).is_file()
    assert artifacts["blessing"][0].get_int_custom_property("blessed") == blessing.blessed
    return blessing


def artifact(kind: type[Artifact], uri: Path) -> list[Artifact]:
    made = kind()
    made.uri = str(uri)
    return [made]


def stats(examples: Path, saved_model: Path) -> list[float | None]:
    """pycocotools on what the SavedModel says, called directly."""
    model = tf.saved_model.load(str(saved_model))
    dataset: dict = {"images": [], "annotations": [], "categories": [{"id": 1}, {"id": 2}]}
    results = []
    for i, example in enumerate(read_examples(f"{examples}/Split-eval/*")):
        dataset["images"].append({"id": i})
        truth = yxyx_to_xywh(example["boxes"].numpy().astype("float64")).tolist()
        for box, c in zip(truth, example["classes"].numpy().tolist(), strict=True):
            entry = {"image_id": i, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            dataset["annotations"].append({"id": len(dataset["annotations"]) + 1, **entry})
        found = {k: v[0].numpy() for k, v in model.signatures["serving_default"](example["image_bytes"][None]).items()}
        boxes = yxyx_to_xywh(found["detection_boxes"].astype("float64")).tolist()
        for box, c, score in zip(boxes, found["detection_classes"], found["detection_scores"], strict=True):
            results.append({"image_id": i, "category_id": int(c), "bbox": box, "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dataset
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [None if value == -1 else value for value in evaluation.stats]


def test_a_model_within_its_bounds_is_blessed(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    blessing = evaluate(tmp_path, examples, bundle(1, 2), min_float_ap=0.5, min_int8_ap=0.3, max_int8_drop=0.5)
    assert blessing.outcome == "BLESSED"
    assert blessing.images_scored == blessing.images_total == 12
    assert 0.5 < blessing.metrics["float"]["AP"] < 1
    assert blessing.metrics["int8"]["AP"] < blessing.metrics["float"]["AP"]
    assert blessing.metrics["float"]["APl"] is None
    expected = dict(zip(COCO_METRICS, stats(examples, bundle(1, 2) / "Format-Serving"), strict=True))
    assert blessing.metrics["float"] == pytest.approx(expected, abs=1e-9)
    red, green = (blessing.per_class["int8"][name]["AP"] for name in ("red", "green"))
    assert (red + green) / 2 == pytest.approx(blessing.metrics["int8"]["AP"])
    thresholds = json.loads((tmp_path / "evaluation/thresholds.json").read_text())
    assert thresholds == {variant: {"red": SCORE, "green": SCORE} for variant in ("float", "int8")}
    report = (tmp_path / "evaluation/report.html").read_text()
    assert f"{blessing.metrics['float']['AP']:.3f}" in report
    written = json.loads((tmp_path / "evaluation/metrics.json").read_text())
    assert written["float"] == blessing.metrics["float"]


@pytest.fixture(scope="module")
def three_judged(tmp_path_factory: pytest.TempPathFactory, examples: Path, three_files: Path) -> Path:
    """Three files judged by every kind of bound."""
    folder = tmp_path_factory.mktemp("three_judged")
    evaluate(
        folder,
        examples,
        three_files,
        floors={"AP50": 0.5, "float16/AP": 0.9},
        class_floors={"green": {"AP": 0.2}},
        slice_floors={"image/format=png": {"AP": 0.2}, "image/format=jpeg": {"AP": 0}},
        max_tflite_drop={"all": 0.9, "float16": 0.1},
        max_tflite_class_drop=0.9,
        max_megabytes={"float": 100, "int8": 1e-6},
        max_latency_ms={"float": 1e6, "int8": 1e-9},
    )
    return folder


def test_every_kind_of_bound_is_asked(three_judged: Path, three_files: Path) -> None:
    blessing = Blessing.load(three_judged / "blessing")
    broken = ["floors.float16/AP", "slice_floors.image/format=jpeg", "max_tflite_drop.float16"]
    broken += ["max_latency_ms.int8", "max_megabytes.int8"]
    assert [rule.rule for rule in blessing.against] == broken
    asked = {rule.rule for rule in blessing.rules}
    for variant in ("float", "float16", "int8"):
        assert {f"images.{variant}", f"floors.{variant}/AP50", f"class_floors.green.{variant}/AP"} <= asked
        assert f"slice_floors.image/format=png.{variant}/AP" in asked
    assert {"max_tflite_drop.int8", "max_tflite_class_drop.int8", "max_megabytes.float"} <= asked
    assert blessing.slices == {"image/format=png": blessing.metrics}
    assert blessing.runtimes["int8"]["bytes"] == (three_files / TFLITE_FILE).stat().st_size


def test_a_file_that_takes_its_process_down_is_not_blessed(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    blessing = evaluate(
        tmp_path, examples, write_crashing_bundle(tmp_path / "crashing", bundle(1, 2)), floors={"AP": 0}
    )
    [rule] = blessing.rules
    assert (rule.rule, rule.outcome) == ("runs.int8", "FAILED")
    assert rule.sentence == "int8: crashed with SIGSEGV (Segmentation fault); nothing was scored"
    assert (blessing.images_scored, blessing.images_total, blessing.metrics) == (0, 12, {})
    assert set(blessing.runtimes) == {"float", "int8"}
    assert rule.sentence in (tmp_path / "evaluation/report.html").read_text()
    assert json.loads((tmp_path / "evaluation/thresholds.json").read_text()) == {}


def test_without_groundtruth_nothing_is_blessed(tmp_path: Path, empty_pictures: Path, bundle: Bundle) -> None:
    blessing = evaluate(tmp_path, empty_pictures, bundle(1, 2), max_int8_drop=1)
    assert blessing.outcome == "NOT_BLESSED"
    assert blessing.missing_classes == ("red", "green")
    assert set(blessing.metrics["float"].values()) == {None}
    assert blessing.images_scored == 3


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle, examples: Path) -> dict[str, str]:
    """An embedded registry whose champion is one pixel off, as was seen on these examples."""
    uri = str(tmp_path_factory.mktemp("registry"))
    version = open_registry(uri).register(bundle(1, 2), "rectangles", tags={TAG: identity(examples)})
    open_registry(uri).set_alias("rectangles", "champion", version.version)
    return {"uri": uri, "name": "rectangles"}


def identity(examples: Path) -> str:
    """Of the eval split, from its records."""
    images = [read_example(record.numpy()).image for record in read_records(f"{examples}/Split-eval/*")]
    return split_identity(images, LabelMap.load(examples))


def test_worse_than_the_champion_is_not_blessed(tmp_path: Path, examples: Path, bundle: Bundle, registry: dict) -> None:
    blessing = evaluate(tmp_path, examples, bundle(2, 3), "@champion", registry, max_champion_drop=0.05)
    seen = list(read_scored_images(tmp_path / "evaluation" / SCORED_FOLDER))
    assert len(seen) == 12
    assert {name for image in seen for name in image.found} == {"float", "int8", "champion/float", "champion/int8"}
    assert blessing.outcome == "NOT_BLESSED"
    assert (blessing.baseline, blessing.champion) == ("1", "1")
    assert blessing.champion_metrics["float"]["AP"] > blessing.metrics["float"]["AP"] + 0.05
    assert [rule.rule for rule in blessing.against] == ["max_champion_drop.float", "max_champion_drop.int8"]
    for rule in blessing.against:
        variant = rule.rule.rpartition(".")[2]
        assert rule.value == blessing.champion_metrics[variant]["AP"] - blessing.metrics[variant]["AP"]
        assert rule.bound < rule.interval[0] <= rule.value <= rule.interval[1]


def test_better_than_the_champion_is_blessed(tmp_path: Path, examples: Path, bundle: Bundle, registry: dict) -> None:
    blessing = evaluate(tmp_path, examples, bundle(0, 0), "1", registry, max_champion_drop=0)
    assert blessing.outcome == "BLESSED"
    assert blessing.split_identity == identity(examples)
    assert "on_changed_split" not in {rule.rule for rule in blessing.rules}


def test_what_the_images_cannot_tell_is_left_to_the_config(
    tmp_path: Path, examples: Path, bundle: Bundle, registry: dict
) -> None:
    bounds = {"max_champion_drop": 0.21, "on_inconclusive": "bless"}
    blessing = evaluate(tmp_path, examples, bundle(2, 3), "1", registry, **bounds)
    [rule] = blessing.against
    assert (rule.rule, rule.outcome) == ("max_champion_drop.float", "INCONCLUSIVE")
    assert rule.value > rule.bound > rule.interval[0], "TFMA, which knows the value alone, says no"
    assert (blessing.outcome, blessing.blessed) == ("INCONCLUSIVE", True)


def test_a_split_that_changed_since_the_champion_was_judged(
    tmp_path: Path, bundle: Bundle, registry: dict, empty_pictures: Path
) -> None:
    bounds = {"max_champion_drop": 0, "on_changed_split": "refuse"}
    blessing = evaluate(tmp_path, empty_pictures, bundle(0, 0), "1", registry, **bounds)
    [rule] = [rule for rule in blessing.rules if rule.rule == "on_changed_split"]
    assert rule.outcome == "FAILED"
    assert blessing.split_identity in rule.sentence
    assert not any(rule.rule.startswith("max_champion_drop") for rule in blessing.rules)


def test_a_champion_of_other_classes_is_not_compared(
    tmp_path: Path, examples: Path, bundle: Bundle, registry: dict
) -> None:
    other = tmp_path / "other"
    shutil.copytree(bundle(1, 2), other)
    (other / "label_map.json").write_text(LabelMap.from_names(["red"]).to_json())
    write_manifest(other)
    open_registry(registry["uri"]).register(other, "reds")
    blessing = evaluate(tmp_path, examples, bundle(2, 3), "1", registry | {"name": "reds"}, max_champion_drop=0)
    assert blessing.outcome == "BLESSED"
    assert (blessing.baseline, blessing.champion) == ("1", "")
    [skipped] = [rule for rule in blessing.rules if rule.rule == "on_other_classes"]
    assert skipped.sentence.startswith("the champion reds@1 was trained on other classes")


def test_an_image_of_the_ledger_that_is_not_scored(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    fewer = shutil.copytree(examples, tmp_path / "fewer")
    book = json.loads((fewer / "ledger.json").read_text())
    book["splits"]["eval"]["images"] |= {"read": 13, "kept": 13}
    (fewer / "ledger.json").write_text(json.dumps(book))
    blessing = evaluate(tmp_path, fewer, bundle(1, 2))
    assert blessing.outcome == "NOT_BLESSED"
    assert "float: 12 of 13 images scored" in blessing.reasons[0]
    assert blessing.reasons[-1].startswith("no bound is configured")


@pytest.mark.parametrize("bad", [7, 12])
def test_images_that_cannot_be_decoded_are_named(tmp_path: Path, examples: Path, bundle: Bundle, bad: int) -> None:
    spoilt = shutil.copytree(examples, tmp_path / "spoilt", ignore=shutil.ignore_patterns("Split-eval"))
    records = [tf.train.Example.FromString(each.numpy()) for each in read_records(f"{examples}/Split-eval/*")]
    for record in records[:bad]:
        record.features.feature["image/encoded"].bytes_list.value[0] = b"rubbish"
    write_records(spoilt, [record.SerializeToString() for record in records])
    blessing = evaluate(tmp_path, spoilt, bundle(1, 2))
    assert blessing.outcome == "NOT_BLESSED"
    assert blessing.images_scored == 12 - bad
    assert (blessing.metrics["float"]["AP"] is None) == (bad == 12)
    assert f"float: {12 - bad} of 12 images scored" in blessing.reasons[0]
    assert "not scored: 0 (Unknown image file format." in blessing.reasons[0]
    assert (" and 2 more" in blessing.reasons[0]) == (bad == 7)


def test_a_file_that_cannot_be_judged_is_named(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    folder = shutil.copytree(bundle(1, 2), tmp_path / "three")
    (folder / "frozen_graph.pb").write_bytes(b"not even opened")
    write_manifest(folder)
    [skipped] = [rule for rule in evaluate(tmp_path, examples, folder).rules if rule.rule.startswith("files.")]
    assert (skipped.rule, skipped.outcome) == ("files.frozen_graph.pb", "SKIPPED")
    assert skipped.sentence.startswith("frozen_graph.pb ships too, but is neither scored nor run here")


def test_a_file_more_is_judged_too(three_judged: Path) -> None:
    found = read_metrics(str(three_judged / "evaluation"))[""]
    assert found["float16/images"][None] == 12
    assert found["float/AP"][None] > found["int8/AP"][None] > found["float16/AP"][None]
    assert set(read_throughput(three_judged / "evaluation")) == {"float", "float16", "int8"}


def test_a_changed_file_is_not_judged(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    changed = shutil.copytree(bundle(1, 2), tmp_path / "changed")
    with (changed / TFLITE_FILE).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match=TFLITE_FILE):
        evaluate(tmp_path, examples, changed)


@pytest.mark.parametrize("without", ["saved_model", "post_mode"])
def test_a_bundle_without_a_saved_model_to_hold_files_against(
    tmp_path: Path, examples: Path, bundle: Bundle, without: str
) -> None:
    changed = shutil.copytree(bundle(1, 2), tmp_path / "changed")
    if without == "saved_model":
        shutil.rmtree(changed / SAVED_MODEL_FOLDER)
    else:
        config = Config.load(changed / "config.yaml").override({"export": {"post_mode": None}})
        (changed / "config.yaml").write_text(config.to_yaml())
    write_manifest(changed)
    with pytest.raises(ModelError, match="ships no SavedModel that finds objects in pictures"):
        evaluate(tmp_path, examples, changed)


def test_another_label_map(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    other = shutil.copytree(examples, tmp_path / "other")
    (other / "label_map.json").write_text(LabelMap.from_names(["green", "red"]).to_json())
    with pytest.raises(ModelError, match="label map"):
        evaluate(tmp_path, other, bundle(1, 2))


def test_no_images(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    none = shutil.copytree(examples, tmp_path / "none")
    (none / "ledger.json").unlink()
    tf.io.TFRecordWriter(str(none / "Split-eval/data_tfrecord-00000-of-00001.gz"), "GZIP").close()
    with pytest.raises(DataError, match="'eval' holds no images"):
        evaluate(tmp_path, none, bundle(1, 2))
