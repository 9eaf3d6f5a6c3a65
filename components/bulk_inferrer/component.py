"""The BulkInferrer node: a bundle's detector over the examples of a pipeline, in shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import Artifact, BaseChannel, Channel, ComponentSpec, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import json_utils

from components.bulk_inferrer.job import bulk_infer
from efficientdet.bundle import variants
from efficientdet.errors import ModelError

EXAMPLES_KEY, MODEL_KEY, BLESSING_KEY, RESULT_KEY = "examples", "model", "model_blessing", "inference_result"
Artifacts = dict[str, list[Artifact]]


class Executor(BaseBeamExecutor):
    """Runs `bulk_infer` on each split."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Fills `inference_result`; see `BulkInferrer`. ModelError when the model was not blessed."""
        bundle = artifact_utils.get_single_uri(input_dict[MODEL_KEY])
        for blessing in input_dict.get(BLESSING_KEY, []):
            if not blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY):
                raise ModelError(f"{bundle}: was not blessed; mend it, or leave out model_blessing")
        files, variant = variants(bundle), exec_properties["variant"]
        if variant not in files:
            raise ModelError(f"{bundle}: holds no variant {variant!r}; there are {', '.join(files)}")
        examples = artifact_utils.get_single_instance(input_dict[EXAMPLES_KEY])
        result = artifact_utils.get_single_instance(output_dict[RESULT_KEY])
        splits = json_utils.loads(exec_properties["splits"]) or artifact_utils.decode_split_names(examples.split_names)
        for split in splits:
            [folder] = artifact_utils.get_split_uris([examples], split)
            bulk_infer(
                files[variant],
                Path(result.uri, f"Split-{split}"),
                self._make_beam_pipeline,
                examples=f"{folder}/*",
                score_threshold=exec_properties["score_threshold"],
                name=f"{bundle}, {variant}",
            )
        result.set_string_custom_property("split_names", artifact_utils.encode_split_names(list(splits)))


class BulkInferrerSpec(ComponentSpec):
    """The BulkInferrer's ports, which have the names of TFX's own."""

    INPUTS = {  # noqa: RUF012 TFX's own form
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        BLESSING_KEY: ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
    }
    OUTPUTS = {RESULT_KEY: ChannelParameter(type=standard_artifacts.InferenceResult)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        "variant": ExecutionParameter(type=str),
        "splits": ExecutionParameter(type=str),
        "score_threshold": ExecutionParameter(type=float),
        "fingerprint": ExecutionParameter(type=str),
    }


class BulkInferrer(base_beam_component.BaseBeamComponent):
    """Detects in every image of some splits; `inference_result` holds a folder of `bulk_infer` per split."""

    SPEC_CLASS = BulkInferrerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        model_blessing: BaseChannel | None = None,
        variant: str = "float",
        splits: Sequence[str] | None = None,
        score_threshold: float = 0.3,
        fingerprint: str = "",
    ) -> None:
        """The node of a pipeline.

        Args:
          examples: Examples, with or without boxes.
          model: the Exporter's Model, a bundle.
          model_blessing: the Evaluator's; a model that is not blessed fails the node.
          variant: which file of the bundle, by its name in `efficientdet.bundle.variants`.
          splits: those to go through; all if not given.
          score_threshold: the least score of a detection.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
        """
        ports = {EXAMPLES_KEY: examples, MODEL_KEY: model, RESULT_KEY: Channel(type=standard_artifacts.InferenceResult)}
        settings = {"variant": variant, "splits": json_utils.dumps(splits), "score_threshold": score_threshold}
        blessed = {BLESSING_KEY: model_blessing} if model_blessing else {}
        super().__init__(BulkInferrerSpec(**ports, **blessed, **settings, fingerprint=fingerprint))
