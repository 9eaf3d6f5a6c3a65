"""What is due when, whatever the steps between two looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.config import TrainingConfig
from efficientdet.training_calendar import Calendar


def test_a_calendar_of_a_config():
    training = TrainingConfig(
        batch_size=10, eval_epochs=2, checkpoint_steps=7, profile_steps=(3, 5), steps_per_execution=4
    )
    assert Calendar.of(training, 100, 50) == Calendar(50, 100, 7, 10, (3, 5), 4)
    assert Calendar.of(TrainingConfig(eval_epochs=0), 100, 50).look == 0


def test_a_profile_after_the_end_is_named(caplog):
    Calendar.of(TrainingConfig(profile_steps=(30, 40)), 20, 50)
    assert "training.profile_steps=(30, 40): the run ends at step 20; nothing is recorded" in caplog.text


CALENDARS = st.builds(
    Calendar,
    examples=st.just(50),
    steps=st.integers(1, 60),
    checkpoint=st.integers(1, 30),
    look=st.integers(0, 30),
    profile=st.none() | st.tuples(st.integers(1, 20), st.integers(20, 40)),
    at_once=st.integers(1, 20),
)


@given(CALENDARS)
def test_going_from_stop_to_stop_misses_nothing_that_is_due(calendar: Calendar):
    stops, step = [0], 0
    while step < calendar.steps:
        step = calendar.next_stop(step)
        assert 0 < step - stops[-1] <= calendar.at_once
        stops.append(step)
    assert step == calendar.steps
    due = [s for s in range(1, step + 1) if calendar.checkpoint_due(s) or calendar.look_due(s)]
    due += [edge for edge in (calendar.profile[0] - 1, calendar.profile[1]) if edge <= step] if calendar.profile else []
    assert set(due) <= set(stops)


@given(CALENDARS)
def test_the_end_is_saved_and_looked_at(calendar: Calendar):
    assert calendar.checkpoint_due(calendar.steps)
    assert calendar.look_due(calendar.steps) == bool(calendar.look)
    assert not calendar.look_due(0)


@given(CALENDARS, st.integers(1, 60))
def test_nothing_is_looked_at_that_is_not_saved(calendar: Calendar, step: int):
    assert calendar.checkpoint_due(step) >= calendar.look_due(step)


@pytest.mark.parametrize(("step", "stop"), [(0, 3), (3, 6), (6, 7), (7, 10), (13, 14), (19, 20)])
def test_stops(step: int, stop: int):
    assert Calendar(50, 20, 7, 10, None, 3).next_stop(step) == stop
