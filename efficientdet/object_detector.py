"""Model Maker's object_detector: load data, create, evaluate, export, in one line each.

from efficientdet import model_spec, object_detector

spec = model_spec.get("efficientdet_lite0")
train_data, validation_data, test_data = object_detector.DataLoader.from_csv("salads.csv")
model = object_detector.create(train_data, model_spec=spec, train_whole_model=True, validation_data=validation_data)
model.evaluate(test_data)
model.export(export_dir=".")
model.evaluate_tflite("model.tflite", test_data)
"""

from __future__ import annotations

import enum
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import keras

from efficientdet import model_spec as specs
from efficientdet.data.dataloader import DataLoader
from efficientdet.errors import ConfigError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.model_spec import EfficientDetSpec
from efficientdet.quantization_config import QuantizationConfig

__all__ = ["DataLoader", "EfficientDetSpec", "ExportFormat", "ObjectDetector", "QuantizationConfig", "create"]


class ExportFormat(enum.Enum):
    """What `export` can write."""

    TFLITE = "TFLITE"
    SAVED_MODEL = "SAVED_MODEL"
    LABEL = "LABEL"


class ObjectDetector:
    """A detector of some classes, trained or not.

    Attributes:
      model_spec: its size and how it is trained.
      labels: its classes.
      model: the Keras network; None before `train` or `create_model`.
      representative_data: images that calibrate an int8 export, usually the training data.
    """

    def __init__(
        self, model_spec: EfficientDetSpec, labels: LabelMap, representative_data: DataLoader | None = None
    ) -> None:
        self.model_spec, self.labels, self.representative_data = model_spec, labels, representative_data
        self.model: keras.Model | None = None
        self._spec = model_spec  # with what the last training was told besides

    @classmethod
    def create(
        cls,
        train_data: DataLoader,
        model_spec: EfficientDetSpec | str,
        validation_data: DataLoader | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        train_whole_model: bool = False,
        do_train: bool = True,
    ) -> ObjectDetector:
        """A detector for the classes of `train_data`, trained on it.

        Args:
          train_data: images to learn from.
          model_spec: a spec or its name; `EfficientDetSpec` says which weights training starts from.
          validation_data: images that are scored every `training.eval_epochs` epochs and drawn in TensorBoard.
          epochs: passes over the images; None: the spec's.
          batch_size: images per step; None: the spec's.
          train_whole_model: learn all weights, also those that the spec's `var_freeze_expr` would leave as they are.
          do_train: False gives the detector with the weights that training would start from.
        """
        spec = specs.get(model_spec)
        if train_whole_model:
            spec = spec.override({"training": {"freeze": None}})
        detector = cls(spec, train_data.labels, train_data)
        if do_train:
            detector.train(train_data, validation_data, epochs, batch_size)
        else:
            detector.create_model()
        return detector

    def create_model(self) -> keras.Model:
        """The network with the weights that training would start from; this detector's from now on."""
        self.model = self.model_spec.create_model(self.labels)
        return self.model

    def train(
        self,
        train_data: DataLoader,
        validation_data: DataLoader | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
    ) -> keras.Model:
        """Trains from the spec's weights on, not from the present ones, and returns the network.

        The arguments are those of `create`. Raises ModelError when the data are of other classes.
        """
        for data in (train_data, validation_data):
            if data is not None:
                data.check_labels(self.labels, self.model_spec.model_name)
        given = {"epochs": epochs, "batch_size": batch_size}
        spec = self.model_spec.override({"training": {name: value for name, value in given.items() if value}})
        self._spec = spec.startable()
        self.model, self.representative_data = self._spec.train(train_data, validation_data), train_data
        return self.model

    def evaluate(self, data: DataLoader, batch_size: int | None = None) -> dict[str, float]:
        """COCO's numbers over all images, `efficientdet.model_spec.metrics` names them; `batch_size` is not needed.

        Raises ModelError when the data are of other classes.
        """
        data.check_labels(self.labels, self.model_spec.model_name)
        return self._spec.evaluate(self._network(), data)

    def evaluate_tflite(self, tflite_filepath: str | Path, data: DataLoader) -> dict[str, float]:
        """The same numbers of an exported TFLite file, whose detections are `tflite_max_detections` at most."""
        return self._spec.evaluate_tflite(tflite_filepath, data)

    def export(
        self,
        export_dir: str | Path,
        tflite_filename: str = "model.tflite",
        label_filename: str = "labels.txt",
        vocab_filename: str = "vocab.txt",
        saved_model_filename: str = "saved_model",
        tfhub_filename: str = "tfhub",
        export_format: ExportFormat | Sequence[ExportFormat] | None = None,
        quantization_config: QuantizationConfig | Literal["default"] | None = "default",
        with_metadata: bool = True,
    ) -> None:
        """Writes what `export_format` lists into `export_dir`; None: the TFLite file, which holds labels and metadata.

        Args:
          quantization_config: of the TFLite file; `default`: int8, calibrated on the training data; None: float32.
          vocab_filename, tfhub_filename, with_metadata: without effect, as a detector has no vocabulary, and metadata
            are always there.

        Raises:
          ConfigError: another format is asked for.
          ModelError: there is no network yet, or something other than a SavedModel is in its place.
        """
        folder, network = Path(export_dir), self._network()
        formats = _formats(export_format)
        folder.mkdir(parents=True, exist_ok=True)
        if ExportFormat.TFLITE in formats:
            if quantization_config == "default":
                quantization_config = self._default_quantization()
            self._spec.export_tflite(network, self.labels, folder / tflite_filename, quantization_config)
        if ExportFormat.SAVED_MODEL in formats:
            self._export_saved_model(network, folder / saved_model_filename)
        if ExportFormat.LABEL in formats:
            lines = (" ".join(name.split()) for name in self.labels.names)
            (folder / label_filename).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def summary(self) -> None:
        """Prints the layers of the network."""
        self._network().summary()

    def _network(self) -> keras.Model:
        if self.model is None:
            raise ModelError(f"{self.model_spec.model_name}: there is no network yet; call train or create_model first")
        return self.model

    def _default_quantization(self) -> QuantizationConfig:
        if self.representative_data is None:
            raise ConfigError("quantization_config: int8 needs images to calibrate with; give for_int8(data), or None")
        return self._spec.get_default_quantization_config(self.representative_data)

    def _export_saved_model(self, network: keras.Model, folder: Path) -> None:
        """Writes aside, then renames; an older SavedModel is replaced."""
        if folder.exists() and not (folder / "saved_model.pb").is_file():
            raise ModelError(f"{folder}: exists and is no SavedModel; give another saved_model_filename")
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            self._spec.export_saved_model(network, self.labels, aside)
            aside.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            aside.replace(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


create = ObjectDetector.create


def _formats(asked: Any) -> set[ExportFormat]:
    """The formats as ours, whoever's enumeration they come from."""
    formats = [ExportFormat.TFLITE] if asked is None else asked if isinstance(asked, (list, tuple, set)) else [asked]
    values = {str(getattr(one, "value", one)).upper() for one in formats}
    if unknown := sorted(values - {known.value for known in ExportFormat}):
        known = ", ".join(one.value for one in ExportFormat)
        raise ConfigError(f"export_format={unknown[0]}: cannot be written; give some of {known}")
    return {ExportFormat(value) for value in values}
