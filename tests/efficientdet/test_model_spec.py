"""Model Maker's specs are configs under other names."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet import model_spec
from efficientdet.checkpoint import save_detector
from efficientdet.config import Config
from efficientdet.errors import ConfigError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import build_detector, reference_name
from efficientdet.model_spec import EfficientDetSpec

SMALL = {"image_size": 64, "fpn_num_filters": 16, "fpn_cell_repeats": 1, "box_class_repeats": 1}
LABELS = LabelMap.from_names(["cat", "dog"])


def test_arguments_become_settings() -> None:
    spec = model_spec.get("efficientdet_lite1", epochs=3, batch_size=8, use_xla=True, profile=True, tf_random_seed=5)
    training = spec.config.training
    assert (spec.model_name, spec.config.model.name) == ("efficientdet-lite1", "efficientdet-lite1")
    assert (training.epochs, training.batch_size, training.xla, training.seed) == (3, 8, True, 5)
    assert training.profile_steps == (10, 20)
    assert (training.moving_average, training.freeze) == (0, "(efficientnet|fpn_cells|resample_p6)")
    assert (spec.config.nms.max_detections, spec.tflite_config.nms.max_detections) == (100, 25)


def test_the_defaults_are_model_makers() -> None:
    training = model_spec.efficientdet_lite0_spec().config.training
    assert (training.epochs, training.batch_size, training.steps_per_execution, training.seed) == (50, 64, 1, 111111)


@pytest.mark.parametrize(
    "hparams",
    ["image_size=64,learning_rate=0.5,training.epochs=9", {"image_size": 64, "learning_rate": 0.5}, "file"],
)
def test_hparams_are_a_string_a_dict_or_a_file(tmp_path: Path, hparams: Any) -> None:
    if hparams == "file":
        hparams = str(tmp_path / "hparams.yaml")
        Path(hparams).write_text("{image_size: 64, learning_rate: 0.5}")
    config = EfficientDetSpec("efficientdet-d1", hparams=hparams).config
    assert (config.model.input_size, config.training.learning_rate, config.training.epochs) == ((64, 64), 0.5, 50)


def test_specs_are_found_by_name_made_or_passed_on() -> None:
    spec = model_spec.get("efficientdet_d0")
    assert model_spec.get(spec) is spec
    assert model_spec.get(model_spec.efficientdet_lite4_spec, epochs=2).config.model.name == "efficientdet-lite4"
    assert {f"efficientdet_lite{i}" for i in range(5)} < set(model_spec.OBJECT_DETECTION_MODELS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("efficientdet_light0", "there is no such model; did you mean efficientdet_lite0 or"),
        ("bert", "there is no such model; known are efficientdet_d0, "),
    ],
)
def test_another_name_is_answered_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        model_spec.get(name)


def test_an_override_leaves_the_spec_as_it_was() -> None:
    spec = model_spec.get("efficientdet_lite0")
    other = spec.override({"training": {"epochs": 1}})
    assert (spec.config.training.epochs, other.config.training.epochs, other.tflite_config.training.epochs) == (
        50,
        1,
        1,
    )


def test_where_there_are_no_imagenet_weights_nothing_random_is_frozen(caplog: pytest.LogCaptureFixture) -> None:
    spec = model_spec.get("efficientdet_d0").startable()
    assert (spec.config.model.backbone_weights, spec.config.training.freeze) == (None, None)
    assert "efficientdet-d0: training starts from random weights (efficientnet-b0: ImageNet weights are" in caplog.text


def test_what_starts_from_trained_weights_is_frozen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from efficientdet.freeze import unfrozen

    path = tmp_path / "detector"
    config = Config().override(SMALL)
    network = build_detector(config, len(LABELS))
    save_detector(path, network, config, LABELS)
    expected = {}
    for kind, options in {
        "all": {"uri": path, "hparams": SMALL},
        "backbone": {"hparams": {**SMALL, "backbone_ckpt": str(path)}},
        "nothing": {"hparams": {**SMALL, "backbone_ckpt": None}},
    }.items():
        freeze = model_spec.get("efficientdet_lite0", **options).startable().config.training.freeze
        learnt = {reference_name(v).partition("/")[0] for v in unfrozen(network, freeze)}
        expected[kind] = {"efficientnet-lite0", "fpn_cells", "class_net"} & learnt
    assert expected["all"] == {"class_net"}
    assert expected["backbone"] == {"fpn_cells", "class_net"}
    assert expected["nothing"] == {"efficientnet-lite0", "fpn_cells", "class_net"}
    with pytest.raises(ModelError, match=r"none: there is no checkpoint, which model\.weights names"):
        model_spec.get("efficientdet_lite0", uri=tmp_path / "none").startable()


def test_a_new_network_holds_the_weights_to_start_from(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = model_spec.get("efficientdet_lite0", hparams={**SMALL, "backbone_ckpt": None})
    trained = first.create_model(LABELS)
    save_detector(tmp_path / "detector", trained, first.config, LABELS)
    again = first.create_model(LABELS)
    with caplog.at_level(logging.INFO, "efficientdet"):
        continued = model_spec.get("efficientdet_lite0", uri=tmp_path / "detector", hparams=SMALL, tf_random_seed=1)
        copies = continued.create_model(LABELS)
    for one, two, three in zip(trained.weights, again.weights, copies.weights, strict=True):
        np.testing.assert_array_equal(one, two, err_msg="the seed decides")
        np.testing.assert_array_equal(one, three, err_msg=one.path)
    assert "2 classes carried over by name (cat, dog)" in caplog.text
    assert f"efficientdet-lite0: training starts from {tmp_path}/detector" in caplog.text
