"""The StatisticsGen node: TFX's own without the images' bytes, and the profile that drift is measured by."""

from __future__ import annotations

import json
from typing import Any

import apache_beam as beam
import tensorflow_data_validation as tfdv
from tfx.components.statistics_gen import executor as stock
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.dsl.io import fileio
from tfx.types import Artifact, BaseChannel, Channel, artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import StatisticsGenSpec
from tfx.utils import json_utils

import schemas
from efficientdet.data.profile import FILE_NAME, Profile, profile_example, to_json, total

IMAGES = ("image/encoded", "image/object/mask")
"""Compressed images: their statistics would cost much and say nothing."""

Artifacts = dict[str, list[Artifact]]


class Executor(stock.Executor):
    """TFX's StatisticsGen executor, and a second pass over the records for their profile."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Fills `statistics`; see `StatisticsGen`."""
        super().Do(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(input_dict[keys.EXAMPLES_KEY])
        statistics = artifact_utils.get_single_uri(output_dict[keys.STATISTICS_KEY])
        parts = f"{statistics}/profile-parts"
        splits = artifact_utils.decode_split_names(examples.split_names)
        with self._make_beam_pipeline() as pipeline:
            for split in splits:
                [folder] = artifact_utils.get_split_uris([examples], split)
                _ = pipeline | f"Profile[{split}]" >> WriteProfile(f"{folder}/*", f"{parts}/{split}")
        profiles = {split: _read(f"{parts}/{split}") for split in splits}
        fileio.rmtree(parts)
        with fileio.open(f"{statistics}/.{FILE_NAME}", "w") as file:
            file.write(to_json(profiles))
        fileio.rename(f"{statistics}/.{FILE_NAME}", f"{statistics}/{FILE_NAME}")


class WriteProfile(beam.PTransform):
    """Pipeline -> the profile of all records of the shards that match `pattern`, in the file `path` as JSON."""

    def __init__(self, pattern: str, path: str) -> None:
        super().__init__()
        self._pattern, self._path = pattern, path

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return (
            pipeline
            | "Read" >> beam.io.ReadFromTFRecord(self._pattern)
            | "Profile" >> beam.Map(profile_example)
            | "Add" >> beam.CombineGlobally(total)
            | "ToJson" >> beam.Map(lambda profile: json.dumps(profile.to_dict()))
            | "Write" >> beam.io.WriteToText(self._path, num_shards=1, shard_name_template="")
        )


def _read(path: str) -> Profile:
    with fileio.open(path, "r") as file:
        return Profile.from_dict(json.load(file))


class DetectionStatisticsGenSpec(StatisticsGenSpec):
    """TFX's StatisticsGenSpec, and the code that the profile depends on."""

    PARAMETERS = {  # noqa: RUF012 TFX's own form
        **StatisticsGenSpec.PARAMETERS,
        "fingerprint": ExecutionParameter(type=str),
    }


class StatisticsGen(base_beam_component.BaseBeamComponent):
    """Statistics of every feature but the images' bytes; outputs `statistics`, with `data_profile.json` in it."""

    SPEC_CLASS = DetectionStatisticsGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, examples: BaseChannel, fingerprint: str = "") -> None:
        """The node of a pipeline.

        Args:
          examples: Examples of the keys in schemas/detection.pbtxt.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
        """
        features = tfdv.load_schema_text(schemas.path("detection.pbtxt")).feature
        options = tfdv.StatsOptions(feature_allowlist=[f.name for f in features if f.name not in IMAGES])
        spec = DetectionStatisticsGenSpec(
            examples=examples,
            stats_options_json=options.to_json(),
            exclude_splits=json_utils.dumps([]),
            fingerprint=fingerprint,
            statistics=Channel(type=standard_artifacts.ExampleStatistics),
        )
        super().__init__(spec=spec)
