"""How long detectors take: ours as TFLite against a bare classifier and a published detector, and the SavedModel.

    python benchmarks/inference.py [--ssd coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite] [--rounds 50]

Everything but the published file is made here, with random weights and the scores of a trained detector: lite0 of 90
classes in float32 and int8, an EfficientNet-Lite0 classifier of the same input size, converted in the same way, and
the SavedModel. All files of a table are run in turn in one process, and a ratio is the median over the turns, by the
clock and by the processor. Post-processing's share is that of the time of a file which its network alone, cut out of
it, does not take. The SavedModel detects in a 640x480 picture of coloured blocks, from its pixels to boxes in them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from efficientdet.benchmark import PICTURE, blocks
from efficientdet.calibrated_network import CalibratedNetwork
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.latency import Latency, Work, measure
from efficientdet.model.backbone import Backbone
from efficientdet.model.detector import build_detector, normalise
from efficientdet.quantize import convert_float
from efficientdet.saved_model import export_saved_model
from efficientdet.tflite import SIGNATURE, TFLiteWriter
from efficientdet.tflite_network import network_alone
from efficientdet.workload import open_workload

CLASSES, IMAGENET, HEAD = 90, 1000, 1280
LOGITS, SPREAD, DELTAS = -7.5, 1.0, 0.3
"""Mean and spread of the class logits, of which a few thousand then score above .01, and the spread of box deltas."""
NUMBERS = ("float32", "int8")


@click.command()
@click.option("--ssd", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A published TFLite file.")
@click.option("--hparams", default="", metavar="K=V,...", help="Settings of the detector, as of `efficientdet train`.")
@click.option("--rounds", default=50, show_default=True, help="Turns of everything.")
@click.option("--threads", default=1, show_default=True, help="Of the TFLite files.")
@click.option("--batches", default="1,8", show_default=True, help="Images at a time in the SavedModel; empty: none.")
def main(ssd: Path | None, hparams: str, rounds: int, threads: int, batches: str) -> None:
    """Prints both tables."""
    config = Config().override("model.backbone_weights=null").override(hparams)
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_models(config, folder)
        files = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.tflite"))}
        files |= {f"{name} network": network_alone(files[name]) for name in NUMBERS}
        files |= {"published": ssd.read_bytes()} if ssd else {}
        works = {name: invocation(content, threads) for name, content in files.items()}
        console.print(tflite_table(measure(works, rounds), files, f"{config.model.name}, {threads} thread(s)"))
        if batches:
            sizes = [int(size) for size in batches.split(",")]
            console.print(saved_model_table(folder / "saved_model", sizes, rounds))


def write_models(config: Config, folder: Path) -> None:
    """NUMBERS.tflite, `NUMBERS classifier.tflite` and `saved_model`."""
    keras.utils.set_random_seed(0)
    height, width = config.model.input_size
    pictures = np.stack([blocks(height, width)[:, ::step] for step in (1, -1)])
    labels = LabelMap.from_names([f"class {i}" for i in range(CLASSES)])
    model = detector(config, pictures)
    with TFLiteWriter(model, config, labels) as writer:
        writer.write_float(folder / "float32.tflite")
        writer.write_int8(folder / "int8.tflite", pictures)
    export_saved_model(model, config, labels, folder / "saved_model")
    with tempfile.TemporaryDirectory() as saved:
        save_classifier(config, saved)
        (folder / "float32 classifier.tflite").write_bytes(convert_float(saved, SIGNATURE, "float32"))
        (folder / "int8 classifier.tflite").write_bytes(CalibratedNetwork(saved, SIGNATURE, pictures).quantized())


def detector(config: Config, pictures: NDArray[np.uint8]) -> keras.Model:
    """A detector whose outputs are spread as those of a trained one, at the finest level."""
    model = build_detector(config, CLASSES)
    last = {variable.path: variable for variable in model.trainable_variables if "-predict/" in variable.path}
    raw = model(normalise(pictures, config), training=False)
    for head, level, spread in (("class", raw.class_logits[0], SPREAD), ("box", raw.box_deltas[0], DELTAS)):
        kernel = last[f"{head}_net/{head}-predict/pointwise_kernel"]
        kernel.assign(kernel.value * (spread / np.std(level)))
    bias = last["class_net/class-predict/bias"]
    bias.assign(np.full(bias.shape, LOGITS))
    return model


def save_classifier(config: Config, folder: str) -> None:
    """EfficientNet as its paper has it: our backbone, a last convolution, pooling and a dense layer."""
    height, width = config.model.input_size
    images = keras.Input((height, width, 3))
    architecture = config.model.architecture
    features = Backbone(architecture.backbone, architecture.activation, 0, False)(images)[-1]
    wide = keras.layers.BatchNormalization()(keras.layers.Conv2D(HEAD, 1, use_bias=False)(features))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU(6)(wide))
    network = keras.Model(images, keras.layers.Dense(IMAGENET)(pooled))
    module = tf.Module()
    module.held = [variable.value for variable in network.variables]
    run = tf.function(lambda images: {"logits": network(normalise(images, config), training=False)}, autograph=False)
    signature = run.get_concrete_function(tf.TensorSpec([1, height, width, 3], tf.float32, name="images"))
    module.run = run
    tf.saved_model.save(module, folder, signatures={SIGNATURE: signature})


def invocation(content: bytes, threads: int) -> Work:
    """A file on one picture of its own size."""
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    [image] = interpreter.get_input_details()
    _, height, width, _ = image["shape"]
    interpreter.set_tensor(image["index"], blocks(height, width)[None].astype(image["dtype"]))
    return lambda: interpreter.invoke()


def tflite_table(found: dict[str, Latency], files: dict[str, bytes], title: str) -> Table:
    """Milliseconds of every file, and of ours the ratios to the others and the share of post-processing."""
    header = ("TFLite file", "MB", "p50 ms", "p99 ms", "CPU ms", "/ classifier", "/ published", "post-processing")
    table = Table(*header, title=f"{title}; ratios by the clock, by the processor")
    for name, latency in found.items():
        cells = [f"{len(files[name]) / 1e6:.1f}", *milliseconds(latency)]
        if name in NUMBERS:
            cells.append(ratios(latency, found[f"{name} classifier"]))
            cells.append(ratios(latency, found["published"]) if "published" in found else "")
            network = found[f"{name} network"]
            cells.append(f"{1 - network.over(latency):.1%}, {1 - network.cpu_over(latency):.1%}")
        table.add_row(name, *cells)
    return table


def saved_model_table(folder: Path, batches: list[int], rounds: int) -> Table:
    """The SavedModel from pictures to detections against the same network alone."""
    table = Table("SavedModel", "images", "p50 ms", "p99 ms", "CPU ms", "over the network: clock", "CPU")
    workload = open_workload("saved_model", folder)
    for batch in batches:
        pictures = np.repeat(blocks(*PICTURE)[None], batch, axis=0)
        works = {"network": workload.network(batch), "end to end": workload.end_to_end(pictures)}
        found = measure(works, max(rounds // batch, 10))
        for name, latency in found.items():
            over = (latency.over(found["network"]) - 1, latency.cpu_over(found["network"]) - 1)
            table.add_row(name, str(batch), *milliseconds(latency), *(f"{o:+.1%}" for o in over))
    return table


def milliseconds(latency: Latency) -> list[str]:
    """The median, the 99th percentile, and the processor's."""
    summary = latency.summary()
    return [f"{summary[f'{name}_ms']:.1f}" for name in ("p50", "p99", "cpu")]


def ratios(one: Latency, other: Latency) -> str:
    """By the clock, and by the processor."""
    return f"{one.over(other):.2f}, {one.cpu_over(other):.2f}"


if __name__ == "__main__":
    main()
