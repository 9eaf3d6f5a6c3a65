"""Files, overrides, merging and the sentences of wrong settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.config import Config
from efficientdet.errors import ConfigError
from efficientdet.settings import merge, parse_overrides, read_yaml
from pipeline.config import PipelineConfig

TREES = st.recursive(
    st.integers() | st.none(), lambda leaf: st.dictionaries(st.sampled_from("abc"), leaf, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


def test_overrides_in_every_form_agree():
    config = Config()
    expected = config.override({"training": {"epochs": 3}, "model": {"image_size": "256"}})
    assert config.override("training.epochs=3,model.image_size=256") == expected
    assert config.override("training.epochs = 3, model.image_size=256,") == expected
    assert config.override(["training.epochs=3", "model.image_size=256"]) == expected
    assert expected.training.epochs == 3
    assert expected.training.batch_size == config.training.batch_size


@pytest.mark.parametrize("nothing", ["", " ", {}, []])
def test_no_overrides_change_nothing(nothing: Any):
    """The reference's --hparams is empty by default."""
    assert Config().override(nothing) == Config()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=1e-3", 0.001),
        ("a=x y", "x y"),
        ("a=", None),
        ("a=None", None),
        ("a=true", True),
        ("a=[1, 0.5]", [1, 0.5]),
        ("a=1.0*2.0*.5", [1.0, 2.0, 0.5]),
        ("a=320*-64", [320, -64]),
        ("a=class_net.*", "class_net.*"),
        ("a=b=c", "b=c"),
        ("a={1: cat, 2: dog}", {1: "cat", 2: "dog"}),
    ],
)
def test_values_of_override_strings(text: str, value: Any):
    assert parse_overrides([text]) == {"a": value}


def test_commas_within_values_do_not_separate():
    config = Config().override("model.aspect_ratios=[1, 0.5],data.label_map={1: cat, 2: dog},training.epochs=3")
    assert config.model.aspect_ratios == (1.0, 0.5)
    assert config.data.label_map == {1: "cat", 2: "dog"}
    assert config.training.epochs == 3


def test_merge_keeps_what_is_not_overridden():
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}
    assert parse_overrides(["a.b=1", "a.c=x y", "d=[1, 2]"]) == {"a": {"b": 1, "c": "x y"}, "d": [1, 2]}


@given(TREES, TREES, TREES)
def test_merging_is_associative_and_idempotent(a: dict, b: dict, c: dict):
    assert merge(merge(a, b), b) == merge(a, b)
    assert merge({}, a) == merge(a, {}) == a
    if not any(_clash(x, y) for x, y in ((a, b), (b, c), (a, c))):
        assert merge(merge(a, b), c) == merge(a, merge(b, c))


def _clash(a: Any, b: Any) -> bool:
    """A group on one side where the other has a value; there the order of merging matters."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return isinstance(a, dict) != isinstance(b, dict)
    return any(_clash(a[key], b[key]) for key in a.keys() & b.keys())


@pytest.mark.parametrize("names", [{1: "bird"}, {"1": "bird"}])
def test_a_label_map_is_replaced_and_not_merged(names: dict):
    config = Config.parse({"data": {"label_map": {1: "cat", 2: "dog"}}})
    assert config.override({"data": {"label_map": names}}).data.label_map == {1: "bird"}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epoch=3", "training.epoch: there is no such setting; did you mean training.epochs"),
        ("learning_rat=1", "did you mean learning_rate or training.learning_rate"),
        ("model.fpn_nodes=[{level: 3, input: [0]}]", "model.fpn_nodes.0.inputs: is missing"),
        ("training.epochs=-1", "training.epochs=-1: Input should be greater than 0"),
        ("training.epochs={a: 1}", "training.epochs={'a': 1}: Input should be a valid number"),
        ("training=5", "training=5: Input should be a valid dictionary"),
        ("training.epochs=.inf", "finite number"),
        ("data.jitter_min=3", "override: data.jitter_min=3.0 is above data.jitter_max=2.0"),
        ("model.anchor_scale=0", "model.anchor_scale=0: Input should be greater than 0"),
        ("model.anchor_scale=1*2*0*1*1", "model.anchor_scale.2=0: Input should be greater than 0"),
        ("model.aspect_ratios=[1, [2, 0]]", "model.aspect_ratios.1.1=0: Input should be greater than 0"),
        ("data.label_map={a: b}", "data.label_map.a='a': Input should be a valid integer"),
        ("epochs", "override 'epochs': not of the form key=value"),
        ("=3", "override '=3': not of the form key=value"),
        ("training.epochs=[", "training.epochs='[': Input should be a valid number"),
    ],
)
def test_wrong_overrides_say_what_is_wrong(override: str, says: str):
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        Config().override([override])
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match=r"config: source: is missing"):
        PipelineConfig.parse({"name": "tiny", "root": "runs", "registry": {"name": "tiny"}})


def test_files_take_overrides(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("training: {epochs: 5, batch_size: 8}\n")
    training = Config.load(path, ["training.epochs=2"]).training
    assert (training.epochs, training.batch_size) == (2, 8)
    path.write_text("training: {epochs: -5}\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: training.epochs=-5"):
        Config.load(path)


def test_an_override_wins_over_another_name_in_the_file(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("learning_rate: 0.1\nfirst_lr_drop_epoch: 100\n")
    training = Config.load(path, ["training.learning_rate=0.2", "second_lr_drop_epoch=150"]).training
    assert training.learning_rate == 0.2
    assert training.drop_epochs == (100, 150)
    path.write_text("data_format: channels_first\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: data_format='channels_first' is not supported"):
        Config.load(path)


def test_other_names_work_in_a_group_of_a_larger_config(tmp_path: Path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "name: tiny\nroot: runs\nregistry: {name: tiny}\n"
        "source: {format: voc, path: data, splits: {train: train, eval: val}}\n"
        "detector: {num_classes: 21, var_freeze_expr: efficientnet}\n"
    )
    detector = PipelineConfig.load(path, ["detector.data.num_classes=3", "detector.image_size=256"]).detector
    assert detector.data.num_classes == 3
    assert detector.training.freeze == "efficientnet"
    assert detector.model.input_size == (256, 256)
    with pytest.raises(ConfigError, match=r"did you mean detector.num_classes"):
        PipelineConfig.load(path, ["detector.num_clases=3"])


@pytest.mark.parametrize("content", ["a: [", "- 1", "\x00", ""])
def test_files_that_hold_no_settings(tmp_path: Path, content: str):
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        read_yaml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "missing.yaml")


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().compat = True
