"""What a search may vary, and what a trial's config is."""

from __future__ import annotations

import re

import pytest

from efficientdet.config import Config
from efficientdet.errors import ConfigError
from efficientdet.search_space import Tuning, config_key, with_values


@pytest.mark.parametrize(
    ("tuning", "says"),
    [
        ({"learning_rate": [0.5, 0.02]}, "learning_rate=[0.5, 0.02]: the lower bound comes first"),
        ({"learning_rate": [0, 0.5]}, "greater than 0"),
        ({"aspect_ratios": ["best"]}, "aspect_ratios"),
        ({"aspect_ratios": []}, "aspect_ratios=[]"),
        ({"objective": "loss"}, "objective='loss'"),
        (
            {"trials": 1} | dict.fromkeys(("learning_rate", "jitter_min", "jitter_max", "aspect_ratios")),
            "there is nothing to search; set tuning.trials=0",
        ),
    ],
)
def test_wrong_settings_are_refused(tuning: dict, says: str):
    with pytest.raises(ConfigError, match=re.escape(says)):
        Tuning.parse(tuning)


def test_every_trial_must_be_possible():
    with pytest.raises(ConfigError, match=r"data.jitter_min=0.9 is above data.jitter_max=0.8; swap them"):
        Tuning(jitter_max=None).check(Config().override("data.jitter_max=0.8"))
    with pytest.raises(ConfigError, match="learning_rate"):
        Tuning(learning_rate=(0.1, 11)).check(Config())
    Tuning(aspect_ratios=((1.0, (1.4, 0.7)), "suggested")).check(Config())


def test_a_trial_is_the_config_with_its_values_and_length():
    config = Config().override("training.patience=3,training.result=best,training.max_steps=1000,data.flip=false")
    values = {"training.learning_rate": 1e-05, "data.jitter_min": 0.25, "model.aspect_ratios": "[0.5,[1.4,0.7]]"}
    trial = Tuning(epochs=2).trial(config, values)
    assert (trial.training.epochs, trial.training.max_steps) == (2, 1000)
    assert (trial.training.eval_epochs, trial.training.patience, trial.training.result) == (0, None, "last")
    assert trial.model.aspect_ratios == (0.5, (1.4, 0.7))
    chosen = with_values(config, values)
    assert chosen == config.override(
        {
            "training": {"learning_rate": 1e-05},
            "data": {"jitter_min": 0.25},
            "model": {"aspect_ratios": [0.5, [1.4, 0.7]]},
        }
    )
    assert re.fullmatch("[0-9a-f]{16}", config_key(chosen))
    assert config_key(chosen) == config_key(with_values(config, values)) != config_key(config)
