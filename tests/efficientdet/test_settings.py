"""Overrides, ranges and the sentences of wrong settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from efficientdet.config import Config
from efficientdet.errors import ConfigError
from efficientdet.settings import merge, parse_overrides, read_yaml


def test_overrides_in_every_form_agree():
    config = Config()
    expected = config.override({"training": {"epochs": 3}, "model": {"image_size": "256"}})
    assert config.override("training.epochs=3,model.image_size=256") == expected
    assert config.override(["training.epochs=3", "model.image_size=256"]) == expected
    assert expected.training.epochs == 3
    ratios = config.override("model.aspect_ratios=[1, 0.5],training.epochs=3").model.aspect_ratios
    assert ratios == (1.0, 0.5)
    assert expected.training.batch_size == config.training.batch_size


def test_yaml_round_trip(tmp_path: Path):
    config = Config().override("model.name=efficientdet-d1,nms.method=gaussian,training.freeze=efficientnet")
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert Config.load(path) == config


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epoch=3", "there is no such setting; did you mean training.epochs"),
        ("training.epochs=-1", "training.epochs=-1: Input should be greater than 0"),
        ("model.name=efficientdet-d9", "no such architecture"),
        ("model.image_size=7", "at least 32 and at most 8192 pixels"),
        ("model.image_size=1x2x3", "WIDTHxHEIGHT"),
        ("data.jitter_min=3", "data.jitter_min=3.0 is above data.jitter_max=2.0"),
        ("epochs", "not of the form key=value"),
        ("training.epochs=[", "not valid YAML"),
        ("training.epochs=.inf", "finite number"),
        ("training.freeze=(", "not a regular expression"),
        ("model.aspect_ratios=[0]", "greater than 0"),
        ("model.image_size=100000", "at most 8192"),
    ],
)
def test_wrong_overrides_say_what_is_wrong(override: str, says: str):
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        Config().override([override])
    assert "\n" not in str(caught.value)


def test_sizes_are_width_first_in_strings_and_height_first_in_lists():
    assert Config().override("model.image_size=640x320").model.input_size == (320, 640)
    assert Config().override({"model": {"image_size": [320, 640]}}).model.input_size == (320, 640)
    assert Config().model.input_size == (320, 320)


@pytest.mark.parametrize("content", ["a: [", "- 1", "\x00"])
def test_files_that_hold_no_settings(tmp_path: Path, content: str):
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        read_yaml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "missing.yaml")


def test_merge_keeps_what_is_not_overridden():
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}
    assert parse_overrides(["a.b=1", "a.c=x y", "d=[1, 2]"]) == {"a": {"b": 1, "c": "x y"}, "d": [1, 2]}


def test_every_setting_is_documented():
    def undocumented(settings, prefix=""):
        for name, field in settings.model_fields.items():
            kind = field.annotation
            if hasattr(kind, "model_fields"):
                yield from undocumented(kind, f"{prefix}{name}.")
            elif not field.description:
                yield prefix + name

    assert list(undocumented(Config)) == []
