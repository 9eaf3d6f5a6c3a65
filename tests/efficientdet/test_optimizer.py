"""The rate, the clipping and the optimizer that settings ask for."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientdet.config import Config, TrainingConfig
from efficientdet.optimizer import FIRST_LOSS_SCALE, build_optimizer, clipped, learning_rate, loss_scale


def test_the_rate_warms_up_and_falls_to_zero():
    config = Config().override("num_epochs=10,batch_size=32,learning_rate=0.08,lr_warmup_epoch=1")
    rates = [float(learning_rate(config, 100)(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.004)  # a tenth of 0.08 * 32 / 64
    assert rates.index(max(rates)) == 10
    assert max(rates) == pytest.approx(0.04)
    assert rates[-1] == pytest.approx(0, abs=1e-7)
    assert np.all(np.diff(rates[10:]) <= 0), "the rate must not rise again"


def test_settings_of_the_schedule_arrive():
    config = Config().override(
        "num_epochs=10,lr_decay_method=stepwise,first_lr_drop_epoch=4,second_lr_drop_epoch=6,batch_size=64"
    )
    config = config.override("lr_warmup_init=0.001")
    rates = [float(learning_rate(config, 100)(step)) for step in (0, 10, 39, 40, 60)]
    np.testing.assert_allclose(rates, [0.001, 0.08, 0.08, 0.008, 0.0008], rtol=1e-6)
    assert learning_rate(config.override("compat=true"), 100).compat


def test_each_gradient_is_clipped_and_then_all():
    """Gradients of norm 5 and 1 at a limit of 2: the first becomes 2, then both shrink by 2 / sqrt(5)."""
    gradients = [tf.constant([3.0, 4.0]), tf.constant([[1.0]])]
    (first, second), between = clipped(gradients, 2.0)
    assert float(between) == pytest.approx(5**0.5)
    np.testing.assert_allclose(first, np.array([1.2, 1.6]) * 2 / 5**0.5, rtol=1e-6)
    np.testing.assert_allclose(second, [[2 / 5**0.5]], rtol=1e-6)
    assert float(tf.linalg.global_norm([first, second])) == pytest.approx(2.0)


@pytest.mark.parametrize("norm", [0.0, 100.0])
def test_short_gradients_and_no_limit_change_nothing(norm: float):
    gradients = [tf.constant([3.0, 4.0]), tf.zeros([2])]
    after, between = clipped(gradients, norm)
    assert float(between) == 5
    for one, other in zip(gradients, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_infinite_gradient_stays_visible():
    _, between = clipped([tf.constant([np.inf]), tf.constant([1.0])], 10.0)
    assert not np.isfinite(float(between))


def test_the_optimizer_is_the_one_of_the_settings():
    rate = learning_rate(Config(), 10)
    assert isinstance(build_optimizer(TrainingConfig(), rate), keras.optimizers.SGD)
    adam = build_optimizer(TrainingConfig(optimizer="adam", momentum=0.8), rate)
    assert isinstance(adam, keras.optimizers.Adam)
    assert adam.beta_1 == 0.8
    assert loss_scale(adam) == 1.0
    half = build_optimizer(TrainingConfig(precision="float16"), rate)
    half.build([keras.Variable(1.0)])
    assert float(loss_scale(half)) == FIRST_LOSS_SCALE
