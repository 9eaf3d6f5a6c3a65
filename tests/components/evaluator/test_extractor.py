"""Our metric and extractor in TFX's own Evaluator, with EvalConfigs that a user might write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx.components.evaluator import executor as stock
from tfx.types import standard_artifacts
from tfx.utils import json_utils, proto_utils
from tfx_bsl.public import tfxio

from components.evaluator import extractor
from components.evaluator.eval_config import metric_config
from components.evaluator.record import SCORED_FOLDER, read_throughput, read_unscored, record_into
from components.evaluator.results import Slice, read_metrics, read_slices
from efficientdet.bundle import SAVED_MODEL_FOLDER
from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, match_image
from efficientdet.data.example import to_example
from efficientdet.data.input_pipeline import read_examples, read_records
from efficientdet.scored_image import ScoredImage, read_scored_images

from .conftest import IMAGES, LABELS, local_beam, picture, write_examples, write_records

Bundle = Callable[..., Path]
CLASS_LISTS = [[], [1], [2], [1, 2]] * (IMAGES // 4)
TALL = "SELECT STRUCT('tall' AS shape) FROM UNNEST(example.`image/height`) AS height WHERE height > 10"
CONFIG = tfma.EvalConfig(
    model_specs=[tfma.ModelSpec(name="new"), tfma.ModelSpec(name="old", is_baseline=True)],
    slicing_specs=[
        tfma.SlicingSpec(),
        tfma.SlicingSpec(feature_keys=["image/group"]),
        tfma.SlicingSpec(feature_values={"image/object/class/text": "red"}),
        tfma.SlicingSpec(slice_keys_sql=TALL),
    ],
    metrics_specs=[
        tfma.MetricsSpec(metrics=[metric_config(), tfma.MetricConfig(class_name="ExampleCount")]),
        tfma.MetricsSpec(
            metrics=[metric_config()],
            binarize=tfma.BinarizationOptions(class_ids={"values": [1]}),
            thresholds={
                "float16/AP75": tfma.MetricThreshold(value_threshold={"lower_bound": {"value": 0.9}}),
                "float16_drop": tfma.MetricThreshold(value_threshold={"upper_bound": {"value": 1.0}}),
            },
        ),
    ],
)


def analyse(folder: Path, config: tfma.EvalConfig, examples: Path, model: Path, baseline: Path | None = None) -> Path:
    """Runs TFX's own executor; where the evaluation lies."""
    uris = {"examples": examples, "model": model, "evaluation": folder / "evaluation", "blessing": folder / "blessing"}
    artifacts = {
        "examples": standard_artifacts.Examples(),
        "model": standard_artifacts.Model(),
        "evaluation": standard_artifacts.ModelEvaluation(),
        "blessing": standard_artifacts.ModelBlessing(),
    }
    if baseline:
        uris["baseline_model"], artifacts["baseline_model"] = baseline, standard_artifacts.Model()
    for name, artifact in artifacts.items():
        artifact.uri = str(uris[name])
    artifacts["examples"].split_names = '["eval"]'
    inputs = {name: [artifacts[name]] for name in artifacts if name not in ("evaluation", "blessing")}
    outputs = {name: [artifacts[name]] for name in ("evaluation", "blessing")}
    properties = {
        "eval_config": proto_utils.proto_to_json(config),
        "module_path": extractor.__name__,
        "example_splits": json_utils.dumps(["eval"]),
    }
    context = stock.Executor.Context(make_beam_pipeline_fn=local_beam, tmp_dir=str(folder))
    stock.Executor(context).Do(inputs, outputs, properties)
    return folder / "evaluation"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory, examples: Path, three_files: Path, bundle: Bundle) -> Path:
    """Three files against two, in slices, with a record."""
    folder = tmp_path_factory.mktemp("evaluation")
    with record_into(str(folder / "evaluation")):
        return analyse(folder, CONFIG, examples, three_files, bundle(0, 1))


def scores(images: list[ScoredImage], contender: str) -> dict[str, float | None]:
    """COCO's numbers of what was recorded."""
    return CocoAccumulator(match_image(i.image_id, i.truth, *i.found[contender]) for i in images).compute().metrics


def test_what_was_scored_is_recorded_once(evaluation: Path, examples: Path) -> None:
    images = {image.image_id: image for image in read_scored_images(evaluation / SCORED_FOLDER)}
    assert len(list(read_scored_images(evaluation / SCORED_FOLDER))) == len(images) == IMAGES
    assert read_unscored(evaluation) == {}
    for example in read_examples(f"{examples}/Split-eval/*"):
        image = images[example["source_id"].numpy().decode()]
        assert (image.height, image.width) == (64, 64)
        assert list(image.truth.classes) == example["classes"].numpy().tolist()
        assert set(image.found) == {"float", "float16", "int8", "champion/float", "champion/int8"}
    speeds = read_throughput(evaluation)
    assert set(speeds) == set(image.found)
    assert all(speed["images"] == IMAGES and speed["images_per_second"] > 0 for speed in speeds.values())


def members(images: list[ScoredImage], key: Slice) -> list[ScoredImage]:
    """The images of a slice of CONFIG."""
    [(name, value)] = key or [("", "")]
    kinds = {
        "": lambda _: True,
        "shape": lambda _: True,
        "image/group": lambda image: value == ("light" if int(image.image_id) % 3 else "dark"),
        "image/object/class/text": lambda image: 1 in list(image.truth.classes),
    }
    return [image for image in images if kinds[name](image)]


def test_every_slice_holds_the_numbers_of_its_images(evaluation: Path) -> None:
    images = list(read_scored_images(evaluation / SCORED_FOLDER))
    slices = read_slices(str(evaluation))
    groups = [(("image/group", group),) for group in ("dark", "light")]
    assert set(slices) == {(), *groups, (("image/object/class/text", "red"),), (("shape", "tall"),)}
    for key, measured in slices.items():
        inside = members(images, key)
        for model, prefix, variants in (("new", "", ("float", "float16", "int8")), ("old", "champion/", ("int8",))):
            for variant in variants:
                ours = {name: measured[model][f"{variant}/{name}"][None] for name in COCO_METRICS}
                assert ours == scores(inside, prefix + variant)
                assert measured[model][f"{variant}/images"][None] == len(inside)
        assert measured["new"]["example_count"][None] == len(inside)
    whole = slices[()]["new"]
    assert whole["float/AP"][None] > whole["int8/AP"][None] > whole["float16/AP"][None]
    assert {1, 2} == set(whole["float16/ARs"]) - {None}


def test_thresholds_of_a_class(evaluation: Path) -> None:
    result = tfma.load_validation_result(str(evaluation))
    assert not result.validation_ok
    failures = [failure for each in result.metric_validations_per_slice for failure in each.failures]
    assert {(failure.metric_key.name, failure.metric_key.sub_key.class_id.value) for failure in failures} == {
        ("float16/AP75", 1)
    }
    assert not (evaluation.parent / "blessing" / "BLESSED").exists()


def test_tfma_loads_and_shows_it(evaluation: Path) -> None:
    result = tfma.load_eval_result(str(evaluation), model_name="new")
    measured = read_slices(str(evaluation))
    shown = result.get_metrics_for_slice((("image/group", "dark"),), class_id=2)
    assert shown["int8/AR100"] == {"doubleValue": measured[(("image/group", "dark"),)]["new"]["int8/AR100"][2]}
    assert tfma.load_eval_results(str(evaluation), model_name="old").get_results()
    viewer = tfma.view.render_slicing_metrics(result, slicing_column="image/group")
    assert [entry["slice"] for entry in viewer.data] == ["image/group:dark", "image/group:light"]
    json.dumps(viewer.data, allow_nan=False)  # a browser reads no NaN
    assert viewer.config["weightedExamplesColumn"] in viewer.data[0]["metrics"][""][""]


def test_other_shards_are_the_same_evaluation(
    evaluation: Path, tmp_path: Path, three_files: Path, bundle: Bundle
) -> None:
    examples = write_examples(tmp_path / "examples", CLASS_LISTS, shards=5)
    with record_into(str(tmp_path / "evaluation")):
        again = analyse(tmp_path, CONFIG, examples, three_files, bundle(0, 1))
    assert read_slices(str(again)) == read_slices(str(evaluation))
    ours, theirs = (
        {path.name: path.read_bytes() for path in (f / SCORED_FOLDER).iterdir()} for f in (again, evaluation)
    )
    assert ours == theirs


def test_several_models_and_intervals_without_tfx(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    config = tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name=name, is_baseline=name == "c", model_type=tfma.TF_GENERIC) for name in ("a", "b", "c")
        ],
        metrics_specs=[
            tfma.MetricsSpec(metrics=[metric_config(["int8"])]),
            tfma.MetricsSpec(metrics=[metric_config(["float"])], model_names=["b"]),
        ],
        options=tfma.Options(
            include_default_metrics={"value": False},
            compute_confidence_intervals={"value": True},
            confidence_intervals=tfma.ConfidenceIntervalOptions(method="JACKKNIFE"),
        ),
    )
    models = [
        tfma.default_eval_shared_model(str(bundle(*shifts) / SAVED_MODEL_FOLDER), model_name=name, eval_config=config)
        for name, shifts in (("a", (1, 2)), ("b", (0, 1)), ("c", (0, 0)))
    ]
    source = tfxio.TFExampleRecord(f"{examples}/Split-eval/*", raw_record_column_name=tfma.ARROW_INPUT_COLUMN)
    with record_into(str(tmp_path)), beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | source.BeamSource()
            | tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=models,
                eval_config=config,
                extractors=extractor.custom_extractors(models, config),
                output_path=str(tmp_path),
            )
        )
    found = read_metrics(str(tmp_path))
    assert {model: {name.split("/")[0] for name in names} for model, names in found.items()} == {
        "a": {"int8"},
        "b": {"int8", "float"},
        "c": {"int8"},
    }
    assert found["a"]["int8/AP"][None] < found["b"]["int8/AP"][None] < found["c"]["int8/AP"][None] == 1
    image = next(read_scored_images(tmp_path / SCORED_FOLDER))
    assert set(image.found) == {"float", "int8", "b/float", "b/int8", "champion/float", "champion/int8"}
    [record] = tfma.load_metrics(str(tmp_path))
    [interval, *_] = [
        entry.confidence_interval
        for entry in record.metric_keys_and_values
        if entry.key.name == "int8/AP" and entry.key.model_name == "a" and not entry.key.is_diff
    ]
    assert (
        interval.lower_bound.double_value.value < found["a"]["int8/AP"][None] < interval.upper_bound.double_value.value
    )


def test_bad_images_are_named_and_the_others_scored(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    bad = to_example(picture(np.random.default_rng(0), [1], "broken"), LABELS)
    bad.features.feature["image/encoded"].bytes_list.value[0] = b"rubbish"
    broken = [bad.SerializeToString(), tf.train.Example().SerializeToString()]
    whole = [record.numpy() for record in read_records(f"{examples}/Split-eval/*")]
    write_records(tmp_path / "examples", [*whole[:5], *broken, *whole[5:]])
    config = tfma.EvalConfig(
        model_specs=[tfma.ModelSpec()], metrics_specs=[tfma.MetricsSpec(metrics=[metric_config()])]
    )
    with record_into(str(tmp_path / "evaluation")):
        found = read_metrics(str(analyse(tmp_path, config, tmp_path / "examples", bundle(1, 2))))[""]
    assert found["int8/images"][None] == found["float/images"][None] == IMAGES
    assert len(list(read_scored_images(tmp_path / "evaluation" / SCORED_FOLDER))) == IMAGES
    named = read_unscored(tmp_path / "evaluation")
    assert named.pop("broken") == "Unknown image file format. One of JPEG, PNG, GIF, BMP required."
    assert [name.split(":")[0] for name in named] == ["record sha256"]
    assert {speed["images"] for speed in read_throughput(tmp_path / "evaluation").values()} == {IMAGES}
