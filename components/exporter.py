"""The Exporter node: a trained detector becomes the files that ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import Artifact, BaseChannel, Channel, ComponentSpec, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import path_utils

from efficientdet.checkpoint import load_detector
from efficientdet.config import ExportConfig
from efficientdet.data.representative_dataset import RepresentativeDataset
from efficientdet.errors import ModelError
from efficientdet.export import export_bundle
from efficientdet.label_map import LabelMap

MODEL_KEY = "model"
EXAMPLES_KEY = "examples"
EXPORTED_MODEL_KEY = "exported_model"
EXPORT_KEY = "export"
CALIBRATION_SPLIT = "train"

Artifacts = dict[str, list[Artifact]]


class Executor(base_executor.BaseExecutor):
    """Writes the bundle; int8 is calibrated on images of the train split, chosen by rule."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Fills `exported_model`; see `Exporter`. ModelError when model and examples differ in their classes."""
        trained = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict[MODEL_KEY]))
        examples = artifact_utils.get_single_instance(input_dict[EXAMPLES_KEY])
        model, config, label_map = load_detector(trained, {"export": json.loads(exec_properties[EXPORT_KEY])})
        if LabelMap.load(examples.uri).hash != label_map.hash:
            raise ModelError(f"{trained}: its classes are not those of {examples.uri}; train on these examples first")
        [split] = artifact_utils.get_split_uris([examples], CALIBRATION_SPLIT)
        images = RepresentativeDataset(f"{split}/*", config)
        exported = Path(artifact_utils.get_single_uri(output_dict[EXPORTED_MODEL_KEY]))
        export_bundle(model, config, label_map, images, exported)


class ExporterSpec(ComponentSpec):
    """The Exporter's ports."""

    INPUTS = {  # noqa: RUF012 TFX's own form
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {EXPORTED_MODEL_KEY: ChannelParameter(type=standard_artifacts.Model)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        EXPORT_KEY: ExecutionParameter(type=str),
        "fingerprint": ExecutionParameter(type=str),
    }


class Exporter(base_component.BaseComponent):
    """Exports a trained detector; `exported_model` is a Model whose folder is a bundle.

    The bundle (`efficientdet.bundle`) holds the formats that are asked for, as a rule the SavedModel in
    `Format-Serving/`, where TFX's own tools look for it, and the int8 TFLite; the label map, the config and the
    manifest.
    """

    SPEC_CLASS = ExporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, model: BaseChannel, examples: BaseChannel, fingerprint: str, export: ExportConfig | None = None
    ) -> None:
        """The node of a pipeline.

        Args:
          model: the Trainer's Model.
          examples: Examples whose `train` split calibrates int8.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
          export: what is written, in the place of what the trained detector's config says; None: the defaults.
        """
        settings = json.dumps((export or ExportConfig()).to_dict(), sort_keys=True)
        exported_model = Channel(type=standard_artifacts.Model)
        super().__init__(
            ExporterSpec(
                model=model, examples=examples, export=settings, fingerprint=fingerprint, exported_model=exported_model
            )
        )
