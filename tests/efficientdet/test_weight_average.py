"""Averages follow the weights, and take their place for a while or for good."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientdet.schedule import moving_average_rate
from efficientdet.weight_average import WeightAverage


def moved(decay: float = 0.5) -> tuple[keras.Variable, WeightAverage]:
    """A variable that went from 1 to 3, with its average after ten steps."""
    variable = keras.Variable([1.0])
    average = WeightAverage([variable], decay)
    variable.assign([3.0])
    average.move(tf.constant(10))
    return variable, average


def test_it_moves_by_the_rate_of_the_step():
    _, average = moved()
    rate = float(moving_average_rate(0.5, 10.0))
    assert average.values[0].numpy() == pytest.approx([1 + 2 * rate])


def test_it_is_there_for_a_while():
    variable, average = moved()
    value = average.values[0].numpy()
    with average.in_use():
        np.testing.assert_array_equal(variable.numpy(), value)
    assert variable.numpy() == [3.0]
    with pytest.raises(ZeroDivisionError), average.in_use():
        print(1 / 0)
    assert variable.numpy() == [3.0]


def test_and_for_good():
    variable, average = moved()
    average.use()
    np.testing.assert_array_equal(variable.numpy(), average.values[0].numpy())


def test_without_a_decay_the_weights_stay():
    variable, average = moved(decay=0.0)
    with average.in_use():
        assert variable.numpy() == [3.0]
    average.use()
    assert variable.numpy() == [3.0]


def test_it_starts_anew_from_what_is_there():
    variable, average = moved()
    average.reset()
    assert average.values[0].numpy() == variable.numpy()
