"""The StatisticsGen node: TFX's own without the images' bytes, and the profile that drift is measured by."""

from __future__ import annotations

import json
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tfx.components.statistics_gen import executor as stock
from tfx.components.util import tfxio_utils
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.dsl.io import fileio
from tfx.types import Artifact, BaseChannel, Channel, artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import StatisticsGenSpec
from tfx.utils import json_utils

from efficientdet.data.profile import FILE_NAME, Profile, profile_example, to_json, total

IMAGES = ("image/encoded", "image/object/mask")
"""Compressed images, of which statistics would cost much and say nothing."""

Artifacts = dict[str, list[Artifact]]


class Executor(stock.Executor):
    """TFX's StatisticsGen executor, but what it batches are records without their images, read once for all purposes.

    TFDV's own list of features to leave out takes effect after the batches have been built.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Fills `statistics`; see `StatisticsGen`."""
        examples = artifact_utils.get_single_instance(input_dict[keys.EXAMPLES_KEY])
        statistics = artifact_utils.get_single_instance(output_dict[keys.STATISTICS_KEY])
        statistics.split_names, statistics.span = examples.split_names, examples.span
        splits = artifact_utils.decode_split_names(examples.split_names)
        parts = f"{statistics.uri}/profile-parts"
        with self._make_beam_pipeline() as pipeline:
            for split in splits:
                [folder] = artifact_utils.get_split_uris([statistics], split)
                tfxio = tfxio_utils.get_split_tfxio([examples], split, telemetry_descriptors=["StatisticsGen"])
                records = (
                    pipeline
                    | f"Read[{split}]" >> tfxio.RawRecordBeamSource()
                    | f"WithoutImages[{split}]" >> beam.Map(without_images)
                )
                _ = (
                    records
                    | f"Batch[{split}]" >> tfxio.RawRecordToRecordBatch()
                    | f"Statistics[{split}]" >> tfdv.GenerateStatistics(tfdv.StatsOptions())
                    | f"Write[{split}]" >> tfdv.WriteStatisticsToBinaryFile(f"{folder}/{stock.DEFAULT_FILE_NAME}")
                )
                _ = records | f"Profile[{split}]" >> WriteProfile(f"{parts}/{split}")
        profiles = {split: _read(f"{parts}/{split}") for split in splits}
        fileio.rmtree(parts)
        with fileio.open(f"{statistics.uri}/.{FILE_NAME}", "w") as file:
            file.write(to_json(profiles))
        fileio.rename(f"{statistics.uri}/.{FILE_NAME}", f"{statistics.uri}/{FILE_NAME}")


def without_images(serialised: bytes) -> bytes:
    """A record without the features that hold compressed images."""
    example = tf.train.Example.FromString(serialised)
    for name in IMAGES:
        example.features.feature.pop(name, None)
    return example.SerializeToString()


class WriteProfile(beam.PTransform):
    """Serialised examples -> the file `path` with their profile as JSON."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        return (
            records
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
    """Statistics of every feature but the compressed images; outputs `statistics`, with `data_profile.json` in it."""

    SPEC_CLASS = DetectionStatisticsGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, examples: BaseChannel, fingerprint: str = "") -> None:
        """The node of a pipeline.

        Args:
          examples: Examples of the keys in schemas/detection.pbtxt.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
        """
        spec = DetectionStatisticsGenSpec(
            examples=examples,
            exclude_splits=json_utils.dumps([]),
            fingerprint=fingerprint,
            statistics=Channel(type=standard_artifacts.ExampleStatistics),
        )
        super().__init__(spec=spec)
