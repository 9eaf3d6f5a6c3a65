"""Learning rates (golden/lr_schedules.npz), the average and the optimisers (golden/ema_opt.npz) of google/automl."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from efficientdet.schedule import LearningRate, moving_average_rate

METHODS = ["cosine", "stepwise", "polynomial"]
RUNS = ["base", "b128", "warm0", "warm2.5_e20", "b8"]


def schedule(method: str = "cosine", **changes: object) -> LearningRate:
    options = {"warmup_init": 0.01, "warmup_steps": 20, "total_steps": 100, "drop_steps": (60, 80)}
    return LearningRate(method, 0.1, **(options | changes))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("method", METHODS)
def test_equals_the_reference(shared: Path, method: str, run: str):
    """The polynomial is compared up to the last step; past it the reference is NaN and we stay at zero."""
    case = json.loads((shared / "golden/manifest.json").read_text())["lr_schedules.npz"]["cases"][f"{method}/{run}"]
    golden = np.load(shared / "golden/lr_schedules.npz")
    rate = LearningRate(
        case["lr_decay_method"],
        case["adjusted_learning_rate"],
        warmup_init=case["lr_warmup_init"],
        warmup_steps=case["lr_warmup_step"],
        total_steps=case["total_steps"],
        drop_steps=(case["first_lr_drop_step"], case["second_lr_drop_step"]),
        power=case["poly_lr_power"],
        compat=True,
    )
    expected = golden[f"{method}/{run}/lr"]
    assert np.all(np.isfinite(expected) | (golden[f"{method}/{run}/steps"] > case["total_steps"]))
    found = [float(rate(step)) for step in golden[f"{method}/{run}/steps"]]
    np.testing.assert_allclose(found, np.nan_to_num(expected), rtol=1e-5, atol=1e-8)


def test_cosine_starts_where_the_warm_up_ends_and_ends_at_zero():
    rate = schedule()
    np.testing.assert_allclose([rate(0), rate(10), rate(20)], [0.01, 0.055, 0.1], rtol=1e-6)
    np.testing.assert_allclose([rate(60), rate(100), rate(120)], [0.05, 0, 0], atol=1e-7)
    falling = [float(rate(step)) for step in range(20, 101)]
    assert np.all(np.diff(falling) < 0)


def test_default_cosine_is_that_of_keras():
    keras_rate = keras.optimizers.schedules.CosineDecay(0.01, 80, warmup_target=0.1, warmup_steps=20)
    for step in range(0, 110, 7):
        assert float(schedule()(step)) == pytest.approx(float(keras_rate(step)), rel=1e-5, abs=1e-8)


def test_compat_cosine_jumps_at_the_end_of_the_warm_up_and_rises_at_the_end():
    rate = schedule(compat=True)
    assert float(rate(20)) < 0.1 * 0.9
    assert float(rate(80)) == pytest.approx(0, abs=1e-8)
    assert float(rate(99)) > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_without_warm_up_the_peak_comes_first(method: str):
    assert float(schedule(method, warmup_steps=0)(0)) == pytest.approx(0.1)


@pytest.mark.parametrize("method", METHODS)
def test_survives_serialisation_and_drives_an_optimizer(method: str):
    rate = schedule(method, compat=True)
    config = json.loads(json.dumps(keras.optimizers.schedules.serialize(rate)))
    again = keras.optimizers.schedules.deserialize(config)
    assert again.get_config() == rate.get_config()
    optimizer = keras.optimizers.SGD(again)
    optimizer.iterations.assign(70)
    assert float(optimizer.learning_rate) == pytest.approx(float(rate(70)))


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: keras.optimizers.SGD(momentum=0.9), "sgd_var"),
        (lambda: keras.optimizers.Adam(beta_1=0.9, epsilon=1e-7), "adam_var"),
    ],
    ids=["sgd", "adam"],
)
def test_optimizers_of_keras_equal_the_reference(shared: Path, make: object, key: str):
    """Twelve given gradients and rates; rtol 1e-5."""
    golden = np.load(shared / "golden/ema_opt.npz")
    optimizer = make()
    variable = keras.Variable([1.0, -2.0, 3.0])
    for gradient, rate, expected in zip(golden["grads"], golden["lr"], golden[key], strict=True):
        optimizer.learning_rate = rate
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        np.testing.assert_allclose(variable, expected, rtol=1e-5)


def test_rates_of_that_run_are_those_of_the_schedule(shared: Path):
    rate = LearningRate("cosine", 0.08, warmup_init=0.008, warmup_steps=10, total_steps=3000, compat=True)
    golden = np.load(shared / "golden/ema_opt.npz")
    np.testing.assert_allclose([rate(step) for step in range(12)], golden["lr"], rtol=1e-5)


def test_moving_average_equals_the_reference(shared: Path):
    golden = np.load(shared / "golden/ema_opt.npz")
    average = np.float32([1, -2, 3])
    for step, (weights, expected) in enumerate(zip(golden["var"], golden["ema"], strict=True)):
        average = average + (weights - average) * np.asarray(moving_average_rate(0.9998, step))
        np.testing.assert_allclose(average, expected, rtol=1e-5)


def test_moving_average_settles_at_its_decay():
    assert float(moving_average_rate(0.9998, 0)) == pytest.approx(0.9)
    assert float(moving_average_rate(0.9998, 10**6)) == pytest.approx(0.0002, rel=1e-3)
