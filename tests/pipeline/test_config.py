"""The pipeline's settings and the shipped configurations."""

from __future__ import annotations

import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import yaml

import pipeline
from efficientdet.errors import ConfigError
from pipeline.config import PipelineConfig, load_config

CONFIGS = sorted((Path(pipeline.__file__).parent / "configs").glob("*.yaml"))
MINIMAL = {
    "name": "tiny",
    "root": "runs/tiny",
    "source": {"format": "voc", "path": "data", "splits": {"train": "train", "eval": "val"}},
    "registry": {"name": "tiny"},
}
VERTEX = {"uri": "vertex://team/europe-west4", "name": "cars"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_load_and_open_with_their_command(path: Path):
    config = load_config(path, [])
    assert Path(config.root).is_absolute()
    assert Path(config.registry.uri).is_absolute()
    assert "efficientdet-pipeline run --config" in path.read_text().splitlines()[0]


def test_overrides_reach_every_group(tmp_path: Path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    config = load_config(path, ["registry.uri=http://127.0.0.1:5000", "detector.training.epochs=2"])
    assert config.registry.uri == "http://127.0.0.1:5000"
    assert config.detector.training.epochs == 2


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"source": {"splits": {"train": "a"}}}, "names no 'eval' split"),
        ({"source": {"format": "coco"}}, "only one has 'eval'"),
        ({"source": {"format": "csv"}}, "source.annotations must name the CSV"),
        ({"source": {"format": "yolo", "label_map": "a"}}, "source.label_map is for tfod, not for yolo"),
        ({"source": {"format": "kitti"}}, "source.format='kitti'"),
        ({"source": {"format": "coco", "classes": ["a"]}}, "source.classes is for voc, not for coco"),
        ({"root": "runs [1]"}, "root='runs [1]'"),
        ({"name": "My Pipeline"}, "name='My Pipeline'"),
        ({"registry": {"name": "a/b"}}, "registry: model name 'a/b'"),
        ({"registry": {"name": "tiny", "alias": "latest"}}, "registry: alias 'latest'"),
        ({"registry": {"name": "tiny", "uri": "ftp://x"}}, "registry: 'ftp://x': not a folder"),
        ({"registry": {"name": "tiny", "uri": "vertex://BAD"}}, "registry: 'vertex://BAD': not vertex://PROJECT"),
        ({"registry": VERTEX | {"name": "3dCars"}}, "registry: model name '3dCars': Vertex takes"),
        ({"registry": VERTEX | {"name": "3d-cars"}}, "registry: model name '3d-cars': Vertex takes"),
        ({"registry": VERTEX | {"alias": "Staging_1"}}, "registry: alias 'Staging_1': Vertex takes"),
        ({"registry": VERTEX | {"alias": "default"}}, "registry: alias 'default': is Vertex's own"),
        ({"registry": {"name": "tiny", "alias": "previous"}}, "moves by promotion alone; publish as champion"),
        ({"blessing": {"min_ap": 0.3}}, "did you mean blessing.min_"),
        ({"blessing": {"min_int8_ap": 30}}, "blessing.floors.int8/AP=30: Input should be less than or equal to 1"),
        ({"blessing": {"floors": {"mAP": 0.3}}}, "'mAP' is no number of COCO"),
        ({"blessing": {"on_inconclusive": "shrug"}}, "blessing.on_inconclusive='shrug'"),
        ({"validation": {"max_drift": 2}}, "validation.max_drift=2"),
        ({"validation": {"fail_on": "anything"}}, "validation.fail_on='anything'"),
        ({"tuning": {"trials": 2, "learning_rate": [1, 0.1]}}, "tuning.learning_rate=[1, 0.1]"),
        ({"tuning": {"trials": 2, "learning_rat": None}}, "did you mean tuning.learning_rate"),
        (
            {"tuning": {"trials": 2, "jitter_max": None}, "detector": {"data": {"jitter_max": 0.8}}},
            "tuning: data.jitter_min=0.9 is above data.jitter_max=0.8; swap them",
        ),
    ],
)
def test_wrong_settings_are_refused(over: dict, says: str):
    values = {**MINIMAL, **over}
    if "source" in over:
        values["source"] = {**MINIMAL["source"], **over["source"]}
    with pytest.raises(ConfigError, match=re.escape(says)):
        PipelineConfig.parse(values)


@pytest.mark.parametrize("scheme", ["http", "vertex", "mysql"])
@pytest.mark.parametrize("setting", ["registry.uri=", "registry=", "registry.uri "])
def test_a_password_in_the_registrys_address_is_refused_and_not_shown(tmp_path: Path, setting: str, scheme: str):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    secret = "s3c/r@t"
    with pytest.raises(ConfigError) as told:
        load_config(path, [f"{setting}{scheme}://ann:{secret}@host:80"])
    assert f"{scheme}://…@host:80" in str(told.value)
    assert secret not in "".join(traceback.format_exception(told.value))


def test_bounds_of_one_file_can_be_set_in_one_line(tmp_path: Path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, "blessing": {"floors": {"AP": 0.4}, "max_int8_drop": 0.1}}))
    words = ["blessing.floors.int8/AP50=0.6", "blessing.min_float_ap=0.5", "blessing.max_tflite_drop.int8=0.2"]
    blessing = load_config(path, words).blessing
    assert blessing.floors == {"AP": 0.4, "int8/AP50": 0.6, "float/AP": 0.5}
    assert blessing.max_tflite_drop == {"int8": 0.2}


COCO = {"format": "coco", "path": "data", "splits": {"all": "all.json"}, "images": {"all": "images"}}


def test_a_single_split_may_be_divided():
    source = {"divide": {"train": 8, "eval": 2}, "group_by": "patient", "captions": {"all": "c.json"}, "masks": True}
    config = PipelineConfig.parse({**MINIMAL, "source": COCO | source})
    assert config.source.divide == {"train": 8, "eval": 2}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({}, "source.splits names no 'train' split"),
        ({"divide": {"train": 1}}, "source.divide names no 'eval' split"),
        ({"divide": {"train": 1, "eval": 0}}, "source.divide.eval"),
        ({"divide": {"train": 1, "eval": 1}, "captions": {"eval": "c.json"}}, "source.captions names 'eval'"),
        ({"divide": {"train": 1, "eval": 1}, "group_pattern": "^video"}, "must have one group in parentheses"),
        ({"divide": {"train": 1, "eval": 1}, "group_pattern": "("}, "is no regular expression"),
        (
            {"splits": {"train": "a", "eval": "b"}, "images": {"train": "a", "eval": "b"}, "divide": {"train": 1}},
            "single",
        ),
        (
            {"format": "voc", "images": {}, "divide": {"train": 1, "eval": 1}, "masks": True},
            "source.masks is for coco and tfod, not for voc",
        ),
    ],
)
def test_a_wrong_division_is_refused(source: dict, says: str):
    with pytest.raises(ConfigError, match=re.escape(says)):
        PipelineConfig.parse({**MINIMAL, "source": COCO | source})


def test_bounds_of_a_search_that_is_off_forbid_nothing():
    off = {"tuning": {"jitter_max": None}, "detector": {"data": {"jitter_max": 0.8}}}
    assert PipelineConfig.parse(MINIMAL | off).tuning.trials == 0


def test_a_search_can_be_asked_for_in_one_line(tmp_path: Path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    words = ["tuning.trials=8", "tuning.max_steps=200", "tuning.aspect_ratios=[suggested, [1.0, 3.0]]"]
    tuning = load_config(path, words).tuning
    assert (tuning.trials, tuning.max_steps, tuning.aspect_ratios) == (8, 200, ("suggested", (1.0, 3.0)))


@pytest.mark.parametrize(
    ("export", "says"),
    [
        ({"formats": ["saved_model"]}, "detector.export.formats has no tflite_int8, which the pipeline judges"),
        ({"formats": ["tflite_int8"]}, "detector.export.formats has no saved_model, which the pipeline judges"),
        ({"pre_mode": None}, "the pipeline judges a SavedModel that finds objects in pictures"),
        ({"post_mode": None}, "the pipeline judges a SavedModel that finds objects in pictures"),
    ],
)
def test_what_could_not_be_judged_is_refused(export: dict, says: str):
    with pytest.raises(ConfigError, match=re.escape(says)):
        PipelineConfig.parse(MINIMAL | {"detector": {"export": export}})


def test_the_owners_words_become_tags(config):
    assert config.card.tags == {}
    assert config.override({"card": {"license": "Apache-2.0"}}).card.tags == {"license": "Apache-2.0"}


def test_reading_a_config_takes_nothing_heavy(config_file):
    code = (
        "import sys; from pipeline.config import load_config\n"
        "for words in ([], ['registry.uri=vertex://team/europe-west4']): load_config(sys.argv[1], words)\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code, config_file], capture_output=True, text=True, check=True
    ).stdout
    heavy = {"tensorflow", "keras", "tfx", "apache_beam", "mlflow", "kfp", "google.api_core", "scipy", "pandas"}
    assert not heavy & set(loaded.split())
