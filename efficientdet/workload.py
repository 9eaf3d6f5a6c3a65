"""What a benchmark times: the network of a model alone, or all from pictures to detections, in any kind of file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from efficientdet.config import Config
from efficientdet.delegate_note import without_delegate_note
from efficientdet.detector_file import Kind, check_finds_objects, described
from efficientdet.errors import ConfigError, ModelError
from efficientdet.latency import Work
from efficientdet.tflite_detector import TFLiteDetector

Precision = Literal["float32", "float16", "bfloat16"]


class Workload(Protocol):
    """The works of one model.

    config: of the model.
    """

    config: Config

    def network(self, batch: int) -> Work:
        """The network on `batch` images of its own size that are normalised already, without suppression."""
        ...

    def end_to_end(self, images: NDArray[np.uint8]) -> Work:
        """All that finds objects in the pictures `[b, h, w, 3]`: resizing, network, suppression, scaling back."""
        ...


def open_workload(
    kind: Kind,
    path: Path,
    threads: int | None = None,
    precision: Precision = "float32",
    xla: bool = False,
    settings: Iterable[str] = (),
) -> Workload:
    """The workload of a detector as `efficientdet.detector_file.locate` finds it.

    Args:
      threads: how many it may use; None: as many as there are.
      precision, xla, settings: of a checkpoint: in what its layers compute, whether XLA compiles its network, and
        settings in the place of its own.
    """
    if kind == "tflite":
        return _TFLite(path, threads)
    if threads:
        _limit_tensorflow(threads)
    if kind == "checkpoint":
        return _Checkpoint(path, precision, xla, settings)
    return _SavedModel(path) if kind == "saved_model" else _FrozenGraph(path)


def _limit_tensorflow(threads: int) -> None:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise ConfigError(f"--threads={threads}: TensorFlow is at work already; ask in a fresh process") from error


class _TFLite:
    """In LiteRT; the network is what the file computes up to its last convolutions."""

    def __init__(self, path: Path, threads: int | None) -> None:
        self._path, self._threads = path, threads
        with without_delegate_note():
            self._detector = TFLiteDetector(path, num_threads=threads)
        self.config = self._detector.config

    def network(self, batch: int) -> Work:
        from ai_edge_litert.interpreter import Interpreter

        from efficientdet.tflite_network import network_alone

        content = self._path.read_bytes()
        if not self._detector.is_raw:
            content = network_alone(content)
        interpreter = Interpreter(model_content=content, num_threads=self._detector.threads)
        interpreter.allocate_tensors()
        [image] = interpreter.get_input_details()
        interpreter.set_tensor(image["index"], _pixels(image["shape"]).astype(image["dtype"]))
        return lambda: interpreter.invoke()

    def end_to_end(self, images: NDArray[np.uint8]) -> Work:
        pictures = list(images)
        return lambda: self._detector(pictures)


class _Checkpoint:
    """In TensorFlow, with its own weights."""

    def __init__(self, path: Path, precision: Precision, xla: bool, settings: Iterable[str]) -> None:
        from efficientdet.checkpoint import load_detector
        from efficientdet.precision import layers_in

        with layers_in(precision):
            self._model, self.config, self._label_map = load_detector(path, list(settings))
        self._xla = xla

    def network(self, batch: int) -> Work:
        return _network(self._model, self.config, batch, self._xla)

    def end_to_end(self, images: NDArray[np.uint8]) -> Work:
        from efficientdet.saved_model import ServingDetector

        network = _compiled(self._model) if self._xla else self._model
        serving = ServingDetector(network, self.config, len(self._label_map))
        return _on_images(lambda batch: serving.detect_images(batch).values(), images)


class _SavedModel:
    """In TensorFlow. Its network alone is the one that its config describes, with other weights."""

    def __init__(self, path: Path) -> None:
        from efficientdet.bundle import ASSETS_FOLDER

        self._path = path
        self.config, self._label_map = described(path / ASSETS_FOLDER, path)

    def network(self, batch: int) -> Work:
        from efficientdet.model.detector import build_detector

        return _network(build_detector(self.config, len(self._label_map)), self.config, batch)

    def end_to_end(self, images: NDArray[np.uint8]) -> Work:
        import tensorflow as tf

        from efficientdet.saved_model import IMAGES_SIGNATURE

        check_finds_objects(self.config, self._path)
        loaded = tf.saved_model.load(str(self._path))
        return _on_images(lambda batch: loaded.signatures[IMAGES_SIGNATURE](images=batch).values(), images)


class _FrozenGraph:
    """The same of a frozen graph, whose network alone is frozen too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        from efficientdet.frozen_graph import read_described

        self.config, self._label_map = read_described(path) or described(path.parent, path)

    def network(self, batch: int) -> Work:
        from efficientdet.model.detector import build_detector

        model = build_detector(self.config, len(self._label_map))
        return _network(model, self.config, batch, frozen=True)

    def end_to_end(self, images: NDArray[np.uint8]) -> Work:
        from efficientdet.frozen_graph import frozen_function

        check_finds_objects(self.config, self._path)
        run: Any = frozen_function(self._path)
        if run.inputs[0].shape[0] == 1 and len(images) > 1:
            raise ModelError(f"{self._path}: takes one image at a time; leave out --batch-size={len(images)}")
        return _on_images(run, images)


def _network(model: Any, config: Config, batch: int, xla: bool = False, frozen: bool = False) -> Work:
    """A Keras network as a graph on images that stay where they are."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    images = tf.random.normal((batch, *config.model.input_size, 3), seed=0)
    call = tf.function(lambda x: tf.nest.flatten(model(x, training=False)), jit_compile=xla, autograph=False)
    if frozen:
        call = convert_variables_to_constants_v2(call.get_concrete_function(images))

    def work() -> None:
        call(images)
        tf.test.experimental.sync_devices()

    return work


def _compiled(model: Any) -> Any:
    """The network compiled by XLA wherever it is called."""
    import tensorflow as tf

    class Compiled(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = [variable.value for variable in model.variables]
            self.run = tf.function(lambda images: model(images, training=False), jit_compile=True, autograph=False)

        def __call__(self, images: tf.Tensor, training: bool = False) -> Any:
            return self.run(images)

    return Compiled()


def _on_images(detect: Callable[[Any], Iterable[Any]], images: NDArray[np.uint8]) -> Work:
    """Detection in a batch, whose answers are fetched."""
    import tensorflow as tf

    return lambda: [values.numpy() for values in detect(tf.constant(images))]


def _pixels(shape: Any) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, tuple(shape), np.uint8)
