"""The network against the bare sum of its convolutions: forward passes and training steps, plain and XLA.

    python benchmarks/network.py speed [--models lite0,d0,d2] [--batches 1,8] [--train-batch 2] [--no-xla]
    python benchmarks/network.py memory [--model d4] [--batch 1]

`speed` prints seconds, and the share achieved: time of the same convolutions, on the same shapes and one after
the other, over time of the network. All variants of a row are timed alternately in one process. `memory` prints
the peak memory of one training step with and without `training.grad_checkpoint`, each in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterable
from statistics import median

import click
import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from efficientdet.anchors import Targets, anchors_for
from efficientdet.config import Config
from efficientdet.model.cost import Convolution, convolutions
from efficientdet.model.detector import build_detector
from efficientdet.trainer import Trainer

CLASSES = 90

Run = Callable[[], object]


@click.group()
def cli() -> None:
    """Network benchmarks."""


@cli.command()
@click.option("--models", default="lite0,d0,d2", show_default=True, help="Sizes, comma-separated.")
@click.option("--batches", default="1,8", show_default=True, help="Batch sizes of the forward pass.")
@click.option("--train-batch", default=2, show_default=True, help="Batch size of the training step; 0: none.")
@click.option("--image-size", type=int, help="Instead of each architecture's own.")
@click.option("--rounds", default=3, show_default=True, help="Times that every variant is run.")
@click.option("--xla/--no-xla", default=True, show_default=True)
def speed(models: str, batches: str, train_batch: int, image_size: int | None, rounds: int, xla: bool) -> None:
    """Seconds, and the share of the convolutions' own time."""
    header = ("model", "work", "batch", "convolutions", "graph", "share", "XLA", "share")
    console, table = Console(width=110), Table(*header)
    for name in models.split(","):
        config = Config.parse({"model": {"name": f"efficientdet-{name}", "image_size": image_size}})
        for batch in map(int, batches.split(",")):
            table.add_row(name, "forward", str(batch), *_measured(_forward(config, batch, xla), rounds))
        if train_batch:
            table.add_row(name, "training", str(train_batch), *_measured(_training(config, train_batch, xla), rounds))
    console.print(table)


@cli.command()
@click.option("--model", default="d4", show_default=True)
@click.option("--batch", default=1, show_default=True)
@click.option("--image-size", type=int, help="Instead of the architecture's own.")
def memory(model: str, batch: int, image_size: int | None) -> None:
    """Peak memory of a training step without and with gradient checkpointing."""
    config = Config.parse({"model": {"name": f"efficientdet-{model}", "image_size": image_size}})
    context = multiprocessing.get_context("spawn")
    found = []
    for checkpointed in (False, True):
        with context.Pool(1) as pool:
            found.append(pool.apply(_peak, (config.override({"grad_checkpoint": checkpointed}), batch)))
    plain, saving = found
    for label, (before, peak, seconds) in (("plain", plain), ("checkpointed", saving)):
        click.echo(f"{label:13} peak {peak:.2f} GB, of which the step {peak - before:.2f} GB, {seconds:.1f} s")
    click.echo(
        f"the step's memory, checkpointed over plain: ratio {(saving[1] - saving[0]) / (plain[1] - plain[0]):.2f}"
    )


def _forward(config: Config, batch: int, xla: bool) -> list[Run]:
    """Inference: the bare convolutions, the graph, and XLA's."""
    model = build_detector(config, CLASSES)
    images = tf.random.normal((batch, *config.model.input_size, 3))
    runs: list[Run] = [_bare(convolutions(model, batch), train=False)]
    for jit in [False, True][: 1 + xla]:
        call = tf.function(lambda x: model(x, training=False), jit_compile=jit)
        runs.append(lambda call=call: _wait(call(images)))
    return runs


def _training(config: Config, batch: int, xla: bool) -> list[Run]:
    """Training steps on one positive box an image: the bare convolutions, the graph, and XLA's."""
    trainer = Trainer(config, CLASSES, steps=1000)
    images = tf.random.uniform((batch, *config.model.input_size, 3), 0, 255)
    targets = _targets(config, batch)
    runs: list[Run] = [_bare(convolutions(trainer.model, batch), train=True)]
    for jit in [False, True][: 1 + xla]:
        step = tf.function(lambda i, t: trainer.step(i, t), jit_compile=jit)
        runs.append(lambda step=step: _wait(step(images, targets)))
    return runs


def _bare(layers: Iterable[Convolution], train: bool) -> Run:
    """Every convolution once, each waiting for the one before; in training its two gradients too."""
    layers = list(layers)
    tensors = {shape: tf.Variable(tf.random.normal(shape)) for layer in layers for shape in _shapes(layer)}

    @tf.function
    def run() -> tf.Tensor:
        total = tf.zeros([])
        for layer in layers:
            with tf.control_dependencies([total]):
                inputs, kernel = tf.identity(tensors[layer.inputs]), tf.identity(tensors[layer.kernel])
                with tf.GradientTape() as tape:
                    tape.watch([inputs, kernel])
                    outputs = [_convolve(layer, inputs, kernel)]
                if train:
                    gradient = tf.identity(tensors[layer.outputs])
                    outputs += tape.gradient(outputs[0], [inputs, kernel], output_gradients=gradient)
                total += sum(tf.reshape(output, [-1])[0] for output in outputs)
        return total

    return lambda: run().numpy()


def _shapes(layer: Convolution) -> tuple[tuple[int, ...], ...]:
    return layer.inputs, layer.kernel, layer.outputs


def _convolve(layer: Convolution, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    convolve = tf.nn.depthwise_conv2d if layer.kind.startswith("Depthwise") else tf.nn.conv2d
    return convolve(inputs, kernel, strides=[1, *layer.strides, 1], padding="SAME")


def _targets(config: Config, batch: int) -> Targets:
    height, width = config.model.input_size
    box = tf.constant([[height * 0.2, width * 0.2, height * 0.7, width * 0.8]])
    one = anchors_for(config).assign(box, tf.constant([1]))
    return tf.nest.map_structure(lambda part: tf.stack([part] * batch), one)


def _measured(runs: list[Run], rounds: int) -> list[str]:
    """Median seconds of every run, in rounds after a warm-up, and each network's share of the first."""
    for run in runs:
        run()
    seconds = np.transpose([[_seconds(run) for run in runs] for _ in range(rounds)])
    bare, *networks = [median(times) for times in seconds]
    return [f"{bare:.3f} s", *(cell for s in networks for cell in (f"{s:.3f} s", f"{bare / s:.0%}"))]


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _wait(outputs: object) -> None:
    for tensor in tf.nest.flatten(outputs):
        tensor.numpy()


def _peak(config: Config, batch: int) -> tuple[float, float, float]:
    """GB held before the first training step and at its peak, and seconds of a second step."""
    keras.utils.set_random_seed(0)
    trainer = Trainer(config, CLASSES, steps=1000)
    images, targets = tf.random.uniform((batch, *config.model.input_size, 3), 0, 255), _targets(config, batch)
    step = trainer.step.get_concrete_function(images, targets)
    before = _gigabytes()
    _wait(step(images, targets))
    return before, _gigabytes(), _seconds(lambda: _wait(step(images, targets)))


def _gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    cli()
