"""A training step of ours against Keras' own `fit` of the same network with a bare loss.

python benchmarks/train_step.py --model lite0 --batch 4
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from efficientdet.anchors import anchors_for
from efficientdet.config import Config
from efficientdet.model.detector import build_detector
from efficientdet.trainer import Trainer

CLASSES = 90


@click.command()
@click.option("--model", default="lite0", show_default=True, help="A size.")
@click.option("--batch", default=4, show_default=True, help="Images per step.")
@click.option("--hparams", default="", metavar="K=V,...", help="Other settings, as of `efficientdet train`.")
@click.option("--steps", default=10, show_default=True, help="Steps of one round.")
@click.option("--rounds", default=5, show_default=True, help="Rounds of each, in turn; the fastest counts.")
@click.option(
    "--deterministic/--any-order", default=True, show_default=True, help="TensorFlow's deterministic kernels."
)
def main(model: str, batch: int, hparams: str, steps: int, rounds: int, deterministic: bool) -> None:
    """Prints seconds per step of both, and what ours costs beyond the other."""
    if deterministic:
        keras.utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()
    settings = f"model.name=efficientdet-{model},training.batch_size={batch},model.backbone_weights=null"
    config = Config().override(settings).override(hparams)
    runs = {"ours": our_steps(config, steps), "Keras fit": keras_steps(config, steps)}
    seconds = measure(runs, rounds)
    table = Table("", "s per step", title=f"{config.model.name}, batch {batch}, {config.model.image_size}")
    for name, value in seconds.items():
        table.add_row(name, f"{value / steps:.3f}")
    console = Console()
    console.print(table)
    console.print(f"overhead {seconds['ours'] / seconds['Keras fit'] - 1:+.1%}")


def measure(runs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The fastest of some rounds of each, run in turn after one that warms up."""
    best = dict.fromkeys(runs, float("inf"))
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def our_steps(config: Config, steps: int) -> Callable[[], None]:
    """All of training but the input: losses, L2, clipping, momentum, averages."""
    trainer, anchors = Trainer(config, CLASSES, 1000), anchors_for(config)
    box, class_id = tf.constant([[10.0, 20.0, 90.0, 80.0]]), tf.constant([7])
    targets = anchors.assign(box, class_id)
    images = tf.constant(random_images(config))
    batched = tf.nest.map_structure(lambda t: tf.repeat(t[None], len(images), axis=0), tuple(targets))
    batches = iter(tf.data.Dataset.from_tensors((images, batched)).repeat())
    return lambda: trainer.run(batches, tf.constant(steps))["total"].numpy()


def keras_steps(config: Config, steps: int) -> Callable[[], None]:
    """`fit` with SGD and momentum on the mean square of all outputs: the network and nothing around it."""
    network = build_detector(config, CLASSES)
    outputs = [*network.output.class_logits, *network.output.box_deltas]
    model = keras.Model(network.inputs, keras.ops.concatenate([keras.ops.mean(o**2, (1, 2)) for o in outputs], axis=-1))
    model.compile(keras.optimizers.SGD(0.001, momentum=0.9), "mse", jit_compile=False)
    images = random_images(config) / 255
    data = tf.data.Dataset.from_tensors((images, np.zeros((len(images), model.output.shape[-1]), np.float32)))
    return lambda: model.fit(data.repeat(), steps_per_epoch=steps, epochs=1, verbose=0)


def random_images(config: Config) -> np.ndarray:
    """`[b, h, w, 3]` float32 0..255."""
    shape = (config.training.batch_size, *config.model.input_size, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


if __name__ == "__main__":
    main()
