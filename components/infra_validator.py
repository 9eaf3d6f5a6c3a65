"""The InfraValidator node: does what ships run where it is used? TFX's own asks a server in Docker."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import Artifact, BaseChannel, Channel, ComponentSpec, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from efficientdet.blessing import Blessing
from efficientdet.data.input_pipeline import decode_image, read_examples
from efficientdet.errors import DataError
from efficientdet.infra_blessing import Infra, InfraBlessing
from efficientdet.infra_validation import Record, validate
from efficientdet.scored_image import ScoredImage, read_scored_images

SCORED_IMAGES_FOLDER = "scored_images"

Artifacts = dict[str, list[Artifact]]

logger = logging.getLogger(__name__)


class Executor(base_executor.BaseExecutor):
    """Tries every file of the bundle in a process of its own, and writes the verdict down."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Fills `blessing`; see `InfraValidator`. DataError when the evaluation is of other images."""
        infra = Infra.parse(json.loads(exec_properties["infra"]), source="InfraValidator")
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        [split] = artifact_utils.get_split_uris([examples], exec_properties["split"])
        evaluation = Path(artifact_utils.get_single_uri(input_dict["evaluation"]))
        records = read_records(split, evaluation, infra.images)
        verdict = validate(artifact_utils.get_single_uri(input_dict["model"]), records, infra)
        for runtime in verdict.runtimes:
            logger.info("%s", runtime)
        if verdict.untried:
            logger.info("not tried: %s", ", ".join(verdict.untried))
        _write(verdict, artifact_utils.get_single_instance(output_dict["blessing"]))


def read_records(split: str, evaluation: Path, count: int) -> list[Record]:
    """The first `count` images of a split's folder with what the evaluation found in them, as far as it scored them.

    All of them without that, where the evaluation says that nothing was scored since a file did not run. Raises
    DataError when it scored others.
    """
    examples = read_examples(f"{split}/*").take(count).as_numpy_iterator()
    encoded = {example["source_id"].decode(): example["image_bytes"] for example in examples}
    if not Blessing.load(evaluation).images_scored:
        return [Record(each, decode_image(each).numpy(), None) for each in encoded.values()]
    scored_images = evaluation / SCORED_IMAGES_FOLDER
    scored = _scored(scored_images, set(encoded))
    if not scored:
        raise DataError(
            f"{scored_images}: holds none of the first {count} images of {split}; evaluate the model on these examples"
        )
    return [Record(e, decode_image(e).numpy(), scored[i]) for i, e in encoded.items() if i in scored]


def _scored(folder: Path, ids: set[str]) -> dict[str, ScoredImage]:
    """The scored images of these ids, read no further than to the last of them."""
    scored: dict[str, ScoredImage] = {}
    for image in read_scored_images(folder):
        if image.image_id in ids:
            scored[image.image_id] = image
        if len(scored) == len(ids):
            break
    return scored


def _write(verdict: InfraBlessing, blessing: Artifact) -> None:
    """The readable record, and what TFX knows: a file by the name of the outcome, and a property."""
    verdict.write(blessing.uri)
    (Path(blessing.uri) / verdict.outcome).touch()
    blessing.set_int_custom_property("blessed", int(verdict.blessed))


class InfraValidatorSpec(ComponentSpec):
    """The InfraValidator's ports."""

    INPUTS = {  # noqa: RUF012 TFX's own form
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        "infra": ExecutionParameter(type=str),
        "split": ExecutionParameter(type=str),
        "fingerprint": ExecutionParameter(type=str),
    }


class InfraValidator(base_component.BaseComponent):
    """Runs what ships as consumers do; outputs `blessing`.

    It holds TFX's INFRA_BLESSED or INFRA_NOT_BLESSED and a readable `infra_blessing.json`. A file that crashes, hangs
    or lies is no error: the reason is in the verdict, and the Pusher goes by it.
    """

    SPEC_CLASS = InfraValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        examples: BaseChannel,
        evaluation: BaseChannel,
        infra: Infra | Mapping[str, Any] | None = None,
        split: str = "eval",
        fingerprint: str = "",
    ) -> None:
        """The node of a pipeline.

        Args:
          model: the Exporter's Model, a bundle.
          examples: Examples whose images are run.
          evaluation: ModelEvaluation of that model on these examples, with the Evaluator's `scored_images`.
          infra: the Infra to keep to, or its values.
          split: the split that was scored.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
        """
        if not isinstance(infra, Infra):
            infra = Infra.parse(infra or {}, source="InfraValidator")
        spec = InfraValidatorSpec(
            model=model,
            examples=examples,
            evaluation=evaluation,
            infra=json.dumps(infra.to_dict()),
            split=split,
            fingerprint=fingerprint,
            blessing=Channel(type=standard_artifacts.InfraBlessing),
        )
        super().__init__(spec=spec)
