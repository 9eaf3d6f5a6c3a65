"""What stops a loop, whatever it trains; whole runs are in test_train.py."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.config import Config
from efficientdet.errors import ConfigError, DivergedError
from efficientdet.training_calendar import Calendar
from efficientdet.training_loop import MOST_OVERFLOWS, TrainingLoop

LOSSES = ("loss", "total")


def loop_of(shards: Path, settings: str, outcome: Any) -> TrainingLoop:
    """A loop over a trainer whose every step comes out as `outcome`: its gradient's norm, or the error it raises."""
    config = Config().override(f"training.batch_size=2,training.steps_per_execution=7,{settings}")

    def run(_: object, count: tf.Tensor) -> dict[str, tf.Tensor]:
        if isinstance(outcome, Exception):
            raise outcome
        return {**{name: tf.ones([count]) for name in LOSSES}, "gradient_norm": tf.fill([count], outcome)}

    trainer = SimpleNamespace(config=config, run=run, losses=LOSSES, share=2, parts=1, replicas=1)
    log = SimpleNamespace(profile=lambda *_: None, losses=lambda *_: None)
    calendar = Calendar.of(config.training, 1000, 12)
    return TrainingLoop(trainer, None, str(shards / "Split-train/*"), calendar, None, None, log)


def test_an_overflow_now_and_then_is_no_divergence(digit_shards: Path):
    loop = loop_of(digit_shards, "training.precision=float16", np.inf)
    for step in range(0, 21, 7):
        loop._go(iter(()), step)
    loop._trainer.run = loop_of(digit_shards, "", 1.0)._trainer.run
    loop._go(iter(()), 21)
    assert loop._overflows == 0


def test_overflows_that_never_end_are(digit_shards: Path):
    loop = loop_of(digit_shards, "training.precision=float16", np.nan)
    for step in range(0, MOST_OVERFLOWS - 7, 7):
        loop._go(iter(()), step)
    with pytest.raises(DivergedError, match=rf"step {MOST_OVERFLOWS}: gradient_norm, for 30 steps, is not finite"):
        loop._go(iter(()), step + 7)


def test_in_float32_the_first_is(digit_shards: Path):
    with pytest.raises(DivergedError, match="step 1: gradient_norm is not finite, on the images "):
        loop_of(digit_shards, "", np.inf)._go(iter(()), 0)


def test_a_device_that_runs_out_of_memory_later_is_named(digit_shards: Path):
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    with pytest.raises(ConfigError, match=r"2 images at a time do not fit .*; set training.accumulate=2 for the same"):
        loop_of(digit_shards, "", error)._go(iter(()), 0)


def test_what_is_no_fault_of_an_image_is_raised_as_it_is(digit_shards: Path):
    with pytest.raises(tf.errors.InvalidArgumentError, match="shapes differ"):
        loop_of(digit_shards, "", tf.errors.InvalidArgumentError(None, None, "shapes differ"))._go(iter(()), 0)
