"""The memory a step needs is of the size that a step takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from efficientdet.config import Config
from efficientdet.memory import available_memory, step_memory

TINY = "model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1"
# Peak memory of one step, less what a process has in use that has built the same trainer.
MEASURE = r"""
import pathlib, re, sys
import tensorflow as tf
from efficientdet.anchors import anchors_for
from efficientdet.config import Config
from efficientdet.trainer import Trainer

config = Config().override(sys.argv[1])
batch, trainer, anchors = config.training.batch_size, Trainer(config, 10, 10), anchors_for(config)
targets = anchors.assign(tf.constant([[10.0, 10, 60, 60]]), tf.constant([1]))
targets = tf.nest.map_structure(lambda t: tf.repeat(t[None], batch, axis=0), targets)
step = trainer.step.get_concrete_function(tf.zeros([batch, *config.model.input_size, 3]), targets)
def used(what):
    return 1024 * int(re.search(rf"{what}:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])

before = used("VmRSS")
trainer.step(tf.zeros([batch, *config.model.input_size, 3]), targets)
print(used("VmHWM") - before)
"""


def test_the_estimate_is_near_the_peak_of_a_step():
    config = Config().override(f"{TINY},model.image_size=512,training.batch_size=8")
    estimate = step_memory(config, 10)
    command = [sys.executable, "-c", MEASURE, f"{TINY},model.image_size=512,training.batch_size=8"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured = int(done.stdout)
    assert 0.5 < (estimate.fixed + 8 * estimate.per_image) / measured < 2


def test_what_makes_a_step_small():
    plain, smaller, recomputed, half = (
        step_memory(Config().override(f"{TINY},{settings}"), 10).per_image
        for settings in (
            "model.image_size=128",
            "model.image_size=64",
            "model.image_size=128,training.grad_checkpoint=true",
            "model.image_size=128,training.precision=bfloat16",
        )
    )
    assert smaller == pytest.approx(plain / 4, rel=0.1)
    assert recomputed < plain / 2
    assert half == pytest.approx(plain / 2, rel=0.01)


def test_there_is_memory():
    assert 10_000_000 < available_memory() < 2**62 == available_memory("tpu")
