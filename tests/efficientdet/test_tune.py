"""A search tries, remembers, survives divergence and interruption, and tells its best."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path

import keras_tuner
import pytest
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from efficientdet.config import Config
from efficientdet.errors import DataError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.search_space import Tuning, config_key
from efficientdet.train import train
from efficientdet.tune import OUTCOME_FILE, Optimiser, Search, search_space

TINY = Config().override(
    "model.image_size=64,model.backbone_weights=null,model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1,model.max_level=5,"
    "training.batch_size=2,training.max_steps=300,training.learning_rate=0.1,training.warmup_epochs=0,"
    "training.preflight=false,data.jitter_min=0.5,nms.score_threshold=0,nms.max_candidates=100"
)
TUNING = Tuning(trials=1, max_steps=2, jitter_max=None, learning_rate=(0.01, 0.05), aspect_ratios=("configured",))
Begin = Callable[..., Search]


@pytest.fixture
def begin(digit_shards: Path, tmp_path: Path) -> Begin:
    """Makes searches that share their folder of trials."""

    def make(tuning: Tuning = TUNING, config: Config = TINY, **changed: object) -> Search:
        train_pattern, eval_pattern = (str(digit_shards / f"Split-{split}/*") for split in ("train", "eval"))
        places = {"trials": tmp_path / "trials", "directory": tmp_path / "keras_tuner"}
        label_map = changed.get("label_map", LabelMap.load(digit_shards))
        return Search(config, tuning, label_map, train_pattern, changed.get("eval_pattern", eval_pattern), **places)

    return make


def test_a_search_goes_on_with_what_is_done(begin: Begin, tmp_path: Path, digit_shards: Path, caplog, capfd):
    """Of two trials the first went half way before its search was killed, and the second is known to diverge."""
    caplog.set_level(logging.INFO)
    first = {"training.learning_rate": 0.05, "data.jitter_min": 0.5, "model.aspect_ratios": "[1.0,2.0,0.5]"}
    config = TUNING.trial(TINY, first)
    folder = tmp_path / "trials" / config_key(config)
    half = config.override("training.max_steps=1")
    patterns = [str(digit_shards / f"Split-{split}/*") for split in ("train", "eval")]
    train(half, LabelMap.load(digit_shards), *patterns, folder / "checkpoints", folder / "logs")

    search = begin()
    search.search()
    assert f"going on from step 1 of {folder}/checkpoints" in caplog.text
    assert [path.name for path in (tmp_path / "trials").iterdir()] == [folder.name]
    assert not (folder / "checkpoints").exists()
    [best] = search.get_best_hyperparameters()
    assert best.values == first, "the configured values come first, the learning rate as near as its bounds allow"
    outcome = json.loads((folder / OUTCOME_FILE).read_text())
    assert outcome["values"] == first
    assert 0 <= outcome["metrics"]["AP"] <= 1
    score = search.oracle.get_best_trials(1)[0].score
    assert score == outcome["metrics"]["AP"]

    caplog.clear()
    planner = begin(TUNING.override("trials=2")).oracle
    _, drawn = (planner.create_trial(worker).hyperparameters.values for worker in ("one", "other"))
    more = begin(TUNING.override("trials=2"))
    planned = tmp_path / "trials" / config_key(TUNING.trial(TINY, drawn))
    planned.mkdir()
    failure = {"values": drawn, "failure": "step 1: loss is not finite, [lower] training.learning_rate"}
    (planned / OUTCOME_FILE).write_text(json.dumps(failure))
    more.search()
    more.results_summary()
    assert "going on from" not in caplog.text
    assert "2 of 2: failed with training.learning_rate" in caplog.text
    assert more.get_best_hyperparameters()[0].values == first
    table = capfd.readouterr().err
    assert re.search(rf"│ 1 +│ {score:.4f} +│ 0.05 .*\[1.0,2.0,0.5\] +│ best", table)
    assert re.search(r"│ 2 +│ failed .*│ step 1: loss is not finite, \[lower\]", table)


def test_without_a_trial_that_succeeded_the_search_says_why(begin: Begin, tmp_path: Path, caplog):
    with pytest.raises(ModelError, match=r"not one of 1 trials succeeded; the first: step 1: loss, total.* not finite"):
        begin(config=TINY.override("training.box_loss_weight=1e39")).search()  # beyond float32
    [outcome] = (tmp_path / "trials").glob(f"*/{OUTCOME_FILE}")
    assert "not finite" in json.loads(outcome.read_text())["failure"]


def test_what_no_hyperparameter_mends_ends_the_search(begin: Begin, tmp_path: Path):
    with pytest.raises(DataError, match="the label map has 1 classes"):
        begin(TUNING.override("trials=3"), label_map=LabelMap.from_names(["0"])).search()
    with pytest.raises(ModelError, match="there is no such file"):  # which may be there the next time
        begin(config=TINY.override({"model": {"weights": str(tmp_path / "none")}})).search()
    assert not list((tmp_path / "trials").glob(f"*/{OUTCOME_FILE}"))


def test_the_space_is_that_of_the_settings(digit_shards: Path):
    pattern = str(digit_shards / "Split-train/*")
    config = TINY.override("model.aspect_ratios=3.0*4.0*5.0")
    tuning = Tuning(jitter_max=None, aspect_ratios=("suggested", "configured", (4.0, 3.0, 5.0), (1.0, (1.4, 0.7))))
    rate, jitter, ratios = search_space(config, tuning, pattern).space
    assert (rate.name, rate.min_value, rate.max_value, rate.sampling) == ("training.learning_rate", 0.02, 0.5, "log")
    assert (jitter.name, jitter.sampling, jitter.default) == ("data.jitter_min", "linear", 0.5)
    assert ratios.values[1:] == ["[3.0,4.0,5.0]", "[1.0,[1.4,0.7]]"]
    assert ratios.default == "[3.0,4.0,5.0]"
    assert ratios.values[0] not in ratios.values[1:]
    alone = search_space(config, Tuning(aspect_ratios=None), pattern)
    assert [parameter.name for parameter in alone.space][2:] == ["data.jitter_max"]


def test_the_search_learns_from_its_trials_and_repeats_itself(digit_shards: Path, tmp_path: Path):
    """Its optimiser alone, on a function of the learning rate that is best at 0.3, where nothing is trained."""

    def tried(folder: str) -> list[float]:
        space = search_space(TINY, Tuning(jitter_min=None, jitter_max=None, aspect_ratios=None), str(digit_shards))
        oracle = Optimiser(objective=keras_tuner.Objective("AP", "max"), max_trials=8, hyperparameters=space, seed=1)
        oracle.verbose = 0
        BaseTuner(oracle, directory=str(tmp_path), project_name=folder)
        rates = []
        while (trial := oracle.create_trial("one")).status != TrialStatus.STOPPED:
            rates.append(trial.hyperparameters.values["training.learning_rate"])
            oracle.update_trial(trial.trial_id, {"AP": 0.5 - abs(math.log(rates[-1] / 0.3)) / 10})
            trial.status = TrialStatus.COMPLETED
            oracle.end_trial(trial)
        return rates

    rates = tried("once")
    assert rates[0] == 0.1
    assert len(set(rates)) == 8
    assert min(abs(math.log(rate / 0.3)) for rate in rates[3:]) < 0.1
    assert tried("again") == rates


def test_an_eval_split_without_boxes_is_refused(begin: Begin, tmp_path: Path):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "empty.gz"), "GZIP"):
        pass
    with pytest.raises(DataError, match="the eval split holds no box"):
        begin(eval_pattern=str(tmp_path / "empty.gz"))
