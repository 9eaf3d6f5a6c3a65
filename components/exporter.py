"""The Exporter node: a trained detector becomes the files that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import Artifact, BaseChannel, Channel, ComponentSpec, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import path_utils

from efficientdet.checkpoint import load_detector
from efficientdet.data.input_pipeline import plain_images
from efficientdet.errors import ModelError
from efficientdet.export import export_bundle
from efficientdet.label_map import LabelMap

MODEL_KEY = "model"
EXAMPLES_KEY = "examples"
EXPORTED_MODEL_KEY = "exported_model"
CALIBRATION_SPLIT = "train"

Artifacts = dict[str, list[Artifact]]


class Executor(base_executor.BaseExecutor):
    """Writes the bundle; int8 is calibrated on images of the train split, the same ones every time."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Fills `exported_model`; see `Exporter`. ModelError when model and examples differ in their classes."""
        trained = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict[MODEL_KEY]))
        examples = artifact_utils.get_single_instance(input_dict[EXAMPLES_KEY])
        model, config, label_map = load_detector(trained)
        if LabelMap.load(examples.uri).hash != label_map.hash:
            raise ModelError(f"{trained}: its classes are not those of {examples.uri}; train on these examples first")
        [split] = artifact_utils.get_split_uris([examples], CALIBRATION_SPLIT)
        images = plain_images(f"{split}/*", config, config.export.calibration_images)
        exported = Path(artifact_utils.get_single_uri(output_dict[EXPORTED_MODEL_KEY]))
        export_bundle(model, config, label_map, images.as_numpy_iterator(), exported)


class ExporterSpec(ComponentSpec):
    """The Exporter's ports."""

    INPUTS = {  # noqa: RUF012 TFX's own form
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {EXPORTED_MODEL_KEY: ChannelParameter(type=standard_artifacts.Model)}  # noqa: RUF012
    PARAMETERS = {"fingerprint": ExecutionParameter(type=str)}  # noqa: RUF012


class Exporter(base_component.BaseComponent):
    """Exports a trained detector; `exported_model` is a Model whose folder is a bundle.

    The bundle (`efficientdet.bundle`) holds the SavedModel in `Format-Serving/`, where TFX's own tools
    look for it, the int8 TFLite, the label map, the config and the manifest.
    """

    SPEC_CLASS = ExporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model: BaseChannel, examples: BaseChannel, fingerprint: str) -> None:
        """The node of a pipeline.

        Args:
          model: the Trainer's Model.
          examples: Examples whose `train` split calibrates int8.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
        """
        exported_model = Channel(type=standard_artifacts.Model)
        super().__init__(
            ExporterSpec(model=model, examples=examples, fingerprint=fingerprint, exported_model=exported_model)
        )
