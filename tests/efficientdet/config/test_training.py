"""Ranges of what optimisation is told."""

from __future__ import annotations

import re

import pytest

from efficientdet.config import TrainingConfig
from efficientdet.errors import ConfigError


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("epochs", 0, "greater than 0"),
        ("batch_size", 1.5, "valid integer"),
        ("optimizer", "lamb", "'sgd' or 'adam'"),
        ("momentum", 1.0, "less than 1"),
        ("learning_rate", 0, "greater than 0"),
        ("schedule", "constant", "'cosine', 'stepwise' or 'polynomial'"),
        ("moving_average", 1.0, "less than 1"),
        ("label_smoothing", 1.0, "less than 1"),
        ("iou_loss", "siou", "'iou', 'giou', 'diou' or 'ciou'"),
        ("positives_momentum", -1.0, "greater than or equal to 0"),
        ("seed", 2**31, "less than 2147483648"),
        ("freeze", "(", "not a regular expression (missing ), unterminated subpattern at position 0)"),
    ],
)
def test_values_out_of_range_name_field_value_and_range(field: str, value: object, says: str):
    with pytest.raises(ConfigError, match=re.escape(f"{field}={value!r}: ") + ".*" + re.escape(says)):
        TrainingConfig.parse({field: value})


def test_ends_of_ranges_are_in():
    ends = {"momentum": 0, "weight_decay": 0, "clip_norm": 0, "moving_average": 0, "warmup_epochs": 0, "seed": 0}
    assert TrainingConfig.parse({**ends, "drop_epochs": [250, 250]}).drop_epochs == (250, 250)


@pytest.mark.parametrize("compiled", [{"xla": True}, {"strategy": "tpu"}])
def test_what_xla_has_no_deterministic_form_of_is_refused(compiled: dict):
    with pytest.raises(ConfigError, match="no deterministic gradient of a max pool; leave out this or training"):
        TrainingConfig.parse({"deterministic": True, **compiled})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"xla": True, "strategy": "gpus"}, "training.xla: the sums over devices of strategy=gpus cannot be part"),
        ({"profile_steps": [20, 10]}, "training.profile_steps=[20, 10]: must be the first and the last step"),
        ({"profile_steps": [0, 10]}, "training.profile_steps=[0, 10]: must be the first and the last step"),
    ],
)
def test_what_cannot_be_together_is_refused(settings: dict, says: str):
    with pytest.raises(ConfigError, match=re.escape(says)):
        TrainingConfig.parse(settings)


def test_numbers_may_be_written_as_yaml_reads_them():
    """YAML 1.1 takes 1e-3 for a string."""
    assert TrainingConfig.parse({"learning_rate": "1e-3"}).learning_rate == 1e-3


@pytest.mark.parametrize("freeze", [None, "", "(efficientnet|fpn_cells|resample_p6)", ".*class_net"])
def test_regular_expressions_are_kept_as_given(freeze: str | None):
    assert TrainingConfig.parse({"freeze": freeze}).freeze == freeze
