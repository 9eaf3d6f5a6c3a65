"""google/automl's names, defaults and saved configs (commit 6a54c87) mean here what they mean there."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from efficientdet.architectures import ARCHITECTURES
from efficientdet.config import Config
from efficientdet.config.hparams import FIXED, NAMES, NMS_NAMES, WITHOUT_EFFECT, translate
from efficientdet.errors import ConfigError


@pytest.fixture(scope="module")
def hparams(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "golden/hparams.json").read_text())


def at(config: Config, path: str) -> Any:
    group, _, field = path.partition(".")
    return getattr(getattr(config, group), field)


def same(ours: Any, theirs: Any) -> bool:
    return (list(ours) if isinstance(ours, tuple) else ours) == theirs


def test_every_default_is_understood_one_by_one_and_together(hparams: dict[str, Any]):
    defaults = {key: setting["value"] for key, setting in hparams["default"].items()}
    assert len(defaults) == 77
    for key, value in defaults.items():
        Config.parse({key: value})
    config = Config.parse(defaults)
    for key, value in defaults.items():
        if value is not None and key in NAMES:
            assert same(at(config, NAMES[key]), [640, 640] if key == "image_size" else value), key


def test_our_defaults_of_training_are_theirs(hparams: dict[str, Any]):
    """All but the start of the warm-up, which scales with the batch here."""
    config = Config()
    for key, setting in hparams["default"].items():
        path = NAMES.get(key, "")
        if path.startswith(("training.", "data.")) and key not in ("lr_warmup_init", "num_classes"):
            assert same(at(config, path), setting["value"]), key
    assert config.training.drop_epochs == (200.0, 250.0)
    assert config.training.positives_momentum is None


def test_every_model_of_theirs_is_ours(hparams: dict[str, Any]):
    """Alone, and over the defaults: a complete config of theirs says everything, and here again the same."""
    assert len(hparams["models"]) == 15
    defaults = {key: setting["value"] for key, setting in hparams["default"].items()}
    for name, values in hparams["models"].items():
        assert Config.parse(values).model.architecture == ARCHITECTURES[name]
        complete = Config.parse({**defaults, **values}).model
        assert complete.input_size == ARCHITECTURES[name].image_size
        for field, value in asdict(ARCHITECTURES[name]).items():
            assert getattr(complete.architecture, field) == pytest.approx(value), (name, field)


def test_configs_saved_by_their_training_program_load(golden: Any):
    """`config.yaml` in its model_dir holds its flags as well."""
    saved = {name: made["config"] for name, made in golden.manifest.items() if "config" in made}
    assert len(saved) == 8
    for name, values in saved.items():
        config = Config.parse(values)
        assert config.model.name == values["name"], name
        assert list(config.model.input_size) == values["image_size"]
        assert config.data.num_classes == values["num_classes"]
    training = Config.parse(saved["train_d0_freeze.npz"]).training
    assert (training.batch_size, training.clip_norm, training.moving_average) == (2, 0.5, 0)
    assert training.freeze == "(efficientnet|fpn_cells|resample_p6)"


@pytest.mark.parametrize("name", [*NAMES, *(f"nms_configs.{name}" for name in NMS_NAMES)])
def test_names_lead_to_settings(name: str):
    path = NAMES.get(name) or NMS_NAMES[name.partition(".")[2]]
    group, _, field = path.partition(".")
    assert field in type(getattr(Config(), group)).model_fields


def test_their_name_wins_over_ours():
    config = Config.parse({"training": {"learning_rate": 0.2, "epochs": 7}, "learning_rate": 0.1})
    assert (config.training.learning_rate, config.training.epochs) == (0.1, 7)
    config = Config.parse({"nms_configs": {"method": "gaussian"}, "nms": {"method": "hard", "sigma": 0.3}})
    assert (config.nms.method, config.nms.sigma) == ("gaussian", 0.3)


@pytest.mark.parametrize("key", ["name", "model_name"])
def test_models_have_two_names(key: str):
    assert Config().override(f"{key}=efficientdet-d3").model.name == "efficientdet-d3"


@pytest.mark.parametrize(
    ("values", "epochs"),
    [
        ({"first_lr_drop_epoch": 10, "second_lr_drop_epoch": 20}, (10, 20)),
        ({"second_lr_drop_epoch": 20, "first_lr_drop_epoch": 10}, (10, 20)),
        ({"first_lr_drop_epoch": 10}, (10, 250)),
        ({"second_lr_drop_epoch": 300, "training": {"drop_epochs": [1, 2]}}, (1, 300)),
        ({"first_lr_drop_epoch": None, "second_lr_drop_epoch": None}, (200, 250)),
        ({"first_lr_drop_epoch": 10, "training": None}, (10, 250)),
    ],
)
def test_epochs_of_the_drops_come_one_by_one(values: dict, epochs: tuple[float, float]):
    assert Config.parse(values).training.drop_epochs == epochs


def test_one_drop_overrides_and_the_other_stays():
    config = Config().override("first_lr_drop_epoch=10").override("second_lr_drop_epoch=20")
    assert config.training.drop_epochs == (10, 20)


@pytest.mark.parametrize(
    ("suppression", "expected"),
    [
        (None, ("hard", 0.5, 0.01, 0.5, 5000, 100)),
        ({}, ("hard", 0.5, 0.01, 0.5, 5000, 100)),
        ({"method": "gaussian", "score_thresh": None}, ("gaussian", 0.5, 0.0, 0.5, 5000, 100)),
        ({"iou_thresh": 0.3, "sigma": None, "max_nms_inputs": 0, "pyfunc": False}, ("hard", 0.3, 0.01, 0.5, 0, 100)),
        ({"max_output_size": 7}, ("hard", 0.5, 0.01, 0.5, 5000, 7)),
    ],
)
def test_suppression_may_be_given_in_part(suppression: dict | None, expected: tuple):
    nms = Config.parse({"nms_configs": suppression}).nms
    limits = (nms.max_candidates, nms.max_detections)
    assert (nms.method, nms.iou_threshold, nms.score_threshold, nms.sigma, *limits) == expected


def test_number_of_detections_is_suppressions_before_tflites():
    """Their complete configs have the default of the second."""
    values = {"nms_configs": {"max_output_size": 200}, "tflite_max_detections": 100}
    assert Config.parse(values).nms.max_detections == 200
    assert Config.parse(dict(reversed(values.items()))).nms.max_detections == 200
    assert Config.parse({"tflite_max_detections": 25}).nms.max_detections == 25


@pytest.mark.parametrize(
    ("set_before", "null", "path", "expected"),
    [
        ("survival_prob=0.8", "survival_prob", "model.head_survival", None),
        ("fpn_weight_method=sum", "fpn_weight_method", "model.fusion", "fastattn"),
        ("fpn_name=qufpn", "fpn_name", "model.fpn", None),
        ("var_freeze_expr=a", "var_freeze_expr", "training.freeze", None),
        ("positives_momentum=0.9", "positives_momentum", "training.positives_momentum", None),
        ("iou_loss_type=ciou", "iou_loss_type", "training.iou_loss", None),
        ("label_map=coco", "label_map", "data.label_map", None),
        ("target_size=64", "target_size", "data.jitter_size", None),
        ("autoaugment_policy=v0", "autoaugment_policy", "data.autoaugment", None),
        ("backbone_ckpt=a", "backbone_ckpt", "model.backbone_weights", None),
        ("nms_configs.score_thresh=0.4", "nms_configs.score_thresh", "nms.score_threshold", 0.0),
        ("nms_configs.iou_thresh=0.4", "nms_configs.iou_thresh", "nms.iou_threshold", 0.4),
        ("act_type=mish", "act_type", "model.activation", "mish"),
    ],
)
def test_null_is_their_default_where_they_have_one(set_before: str, null: str, path: str, expected: object):
    for word in ("None", "null", ""):
        assert at(Config().override(set_before).override(f"{null}={word}"), path) == expected


def test_pyramids():
    assert Config.parse({"fpn_name": "bifpn_dyn"}).model.fpn == "bifpn"
    nodes = [{"feat_level": 3, "inputs_offsets": [0, 1]}, {"feat_level": 4, "inputs_offsets": [1, 2]}]
    config = Config.parse({"max_level": 4, "fpn_config": {"nodes": nodes, "weight_method": "attn"}})
    assert [(node.level, node.inputs) for node in config.model.fpn_nodes] == [(3, (0, 1)), (4, (1, 2))]
    assert config.model.fusion == "attn"
    assert config.override("fpn_config=null").model.fpn_nodes is None


def test_lists_of_names_have_stars_between():
    config = Config().override("heads=object_detection*segmentation,seg_num_classes=5,image_size=128")
    assert config.model.heads == ("object_detection", "segmentation")
    assert config.model.segmentation_classes == 5


@pytest.mark.parametrize("momentum", [-1, 0, None])
def test_positives_without_momentum(momentum: float | None):
    assert Config.parse({"positives_momentum": momentum}).training.positives_momentum is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"data_format": "channels_first"}, "data_format='channels_first' is not supported: images are channels-last"),
        ({"scale_range": True}, "scale_range=True is not supported: it stretches the normalised input once more"),
        ({"backbone_config": {"a": 1}}, "is not supported: name a published backbone in backbone_name"),
        ({"dataset_type": "sstable"}, "dataset_type='sstable' is not supported: examples are TFRecords"),
        ({"nms_configs": {"pyfunc": True}}, "nms_configs.pyfunc=True is not supported: suppression is part of"),
        ({"nms_configs": {"iou": 0.3}}, "nms_configs.iou: there is no such setting; nms_configs has method, "),
        ({"nms_configs": [0.3]}, "nms_configs=[0.3]: must be a mapping of method, "),
        ({"nms_configs": {"method": "diou"}}, "nms.method='diou': Input should be 'hard' or 'gaussian'"),
        ({"fpn_config": {"nodes": [{"level": 3}]}}, "must be {nodes: [{feat_level: 6, inputs_offsets: [3, 4]}, ...]}"),
        ({"fpn_config": 3}, "fpn_config=3: must be"),
        ({"positives_momentum": "x"}, "training.positives_momentum='x'"),
        ({"model": "efficientdet-d0", "image_size": 64}, "model='efficientdet-d0': Input should be a valid dictionary"),
        ({"var_freeze_expr": "("}, "training.freeze='(': not a regular expression"),
    ],
)
def test_what_is_not_supported_is_one_sentence_with_the_remedy(values: dict, says: str):
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        Config.parse(values)
    assert "\n" not in str(caught.value)


def test_fixed_options_may_be_null_or_as_they_are():
    for key, (allowed, _) in FIXED.items():
        if key != "nms_configs.pyfunc":
            for value in (None, *allowed):
                assert translate({key: value}) == {}


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_options_without_effect_say_so(key: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO"):
        assert translate({key: 1}) == {}
    assert f"{key} has no effect here: " in caplog.text


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        ({"mixed_precision": True}, {"precision": "float16"}),
        ({"mixed_precision": True, "strategy": "tpu"}, {"precision": "bfloat16", "strategy": "tpu"}),
        ({"mixed_precision": False, "strategy": ""}, {"precision": "float32", "strategy": None}),
        ({"strategy": "multi-gpus"}, {"strategy": "gpus"}),
        ({"optimizer": "Adam"}, {"optimizer": "adam"}),
        ({"loss_scale": 8.0}, {"loss_scale": 8.0}),
        ({"map_freq": 3}, {"eval_epochs": 3}),
        ({"batch_size": "auto"}, {"batch_size": 64, "accumulate": "auto"}),
        ({"use_xla": True, "tpu": "t", "tpu_zone": "z"}, {"xla": True, "tpu": "t", "tpu_zone": "z"}),
    ],
)
def test_where_and_how_training_runs(values: dict, settings: dict):
    training = Config.parse(values).training
    assert {name: getattr(training, name) for name in settings} == settings


def test_survival_off():
    assert Config.parse({"survival_prob": 0}).model.head_survival is None
