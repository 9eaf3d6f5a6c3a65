"""The ExampleValidator node: TFX's own with the classes of the data set, a measure of drift, and a verdict."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.components.example_validator import executor as stock
from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.io import fileio
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import Artifact, BaseChannel, Channel, artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.types.standard_component_specs import ExampleValidatorSpec
from tfx.utils import json_utils

from efficientdet.data import profile as data_profile
from efficientdet.data.profile import Profile
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap
from efficientdet.registry import find_baseline, open_registry
from efficientdet.validation import ANOMALIES_FILE, DRIFT_FILE, Anomaly, Drift, Validation, require, to_json

LABEL, TEXT = "image/object/class/label", "image/object/class/text"

Artifacts = dict[str, list[Artifact]]
Profiles = Mapping[str, Profile]

logger = logging.getLogger(__name__)


class Executor(stock.Executor):
    """TFX's ExampleValidator executor, whose schema is narrowed to the data set and whose findings are judged."""

    def Do(  # noqa: N802
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> execution_result_pb2.ExecutorOutput:
        """Fills `anomalies`; see `ExampleValidator`. DataError when an anomaly is severe enough to fail the run."""
        settings = Validation.parse(json.loads(exec_properties["validation"]), source="ExampleValidator")
        self._label_map = LabelMap.load(artifact_utils.get_single_uri(input_dict["examples"]))
        self._found: list[anomalies_pb2.Anomalies] = []
        result = super().Do(input_dict, output_dict, exec_properties)
        output = artifact_utils.get_single_instance(output_dict[keys.ANOMALIES_KEY])
        splits = artifact_utils.decode_split_names(output.split_names)
        by_split = zip(splits, self._found, strict=True)
        found = [anomaly for split, anomalies in by_split for anomaly in read_anomalies(split, anomalies)]
        statistics = artifact_utils.get_single_uri(input_dict[keys.STATISTICS_KEY])
        drift = measure_drift(data_profile.load(f"{statistics}/{data_profile.FILE_NAME}"), exec_properties)
        found += drift.anomalies(settings)
        _report(found, drift)
        # TFX removes the outputs of a failed step, but who has to mend the data needs the whole list.
        refused = f"{str(output.uri).rpartition('/')[0]}-refused.json"
        _write(refused, to_json(found, drift))
        require(found, settings.fail_on, refused)
        fileio.remove(refused)
        _write(f"{output.uri}/{ANOMALIES_FILE}", to_json(found))
        _write(f"{output.uri}/{DRIFT_FILE}", json.dumps(drift.to_dict(), ensure_ascii=False, indent=1) + "\n")
        return result

    def _Validate(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> anomalies_pb2.Anomalies:  # noqa: N802
        """What the base class calls once for each split, in their order."""
        schema, statistics = inputs[keys.SCHEMA_KEY], inputs[keys.STATISTICS_KEY]
        narrowed = narrow(schema, self._label_map, statistics)
        anomalies = super()._Validate({**inputs, keys.SCHEMA_KEY: narrowed}, outputs)
        self._found.append(anomalies)
        return anomalies


def narrow(
    schema: schema_pb2.Schema, label_map: LabelMap, statistics: statistics_pb2.DatasetFeatureStatisticsList
) -> schema_pb2.Schema:
    """A copy of the schema for examples of these classes: their ids and their names and no others.

    A feature without a single value, as in a split without boxes, has no domain: TFDV takes it for zeros.
    """
    narrowed = schema_pb2.Schema()
    narrowed.CopyFrom(schema)
    [dataset] = statistics.datasets
    empty = {f.path.step[0] for f in dataset.features if f.num_stats.common_stats.tot_num_values == 0}
    for feature in narrowed.feature:
        if feature.name == LABEL:
            feature.int_domain.min, feature.int_domain.max = 1, len(label_map)
        elif feature.name == TEXT:
            feature.string_domain.Clear()
            feature.string_domain.value.extend(label_map.names)
        if feature.name in empty:
            feature.ClearField("int_domain")
    return narrowed


def read_anomalies(split: str, found: anomalies_pb2.Anomalies) -> list[Anomaly]:
    """TFDV's findings in one split, in our words, in the order of the features."""
    if found.data_missing:
        return [Anomaly("error", split, "", "holds no examples")]
    infos = sorted(found.anomaly_info.items())
    if found.HasField("dataset_anomaly_info"):
        infos.insert(0, ("", found.dataset_anomaly_info))
    return [
        Anomaly(
            "warning" if info.severity == info.WARNING else "error",
            split,
            name,
            ": ".join(text.strip().rstrip(".") for text in (info.short_description, info.description) if text),
        )
        for name, info in infos
    ]


def measure_drift(profiles: Profiles, exec_properties: Mapping[str, Any]) -> Drift:
    """How far the splits are from each other and from those of the baseline, if there is one with a profile."""
    baseline, settings = exec_properties["baseline"], json.loads(exec_properties["registry"])
    if not baseline:
        return Drift.measure(profiles, "", None, "there is no champion yet")
    registry = open_registry(settings["uri"])
    version = find_baseline(registry, settings["name"], baseline)
    if version is None:
        return Drift.measure(profiles, "", None, f"{registry.uri} holds no {settings['name']} {baseline}")
    document = version.tags.get(data_profile.TAG)
    if not document:
        return Drift.measure(profiles, "", None, f"{version} was registered without a profile of its data")
    with TemporaryDirectory() as folder:
        fetched = Path(folder) / "champion"
        registry.fetch(version.name, version.version, fetched, only=[document])
        try:
            before = data_profile.load(fetched / document)
        except DataError as error:
            return Drift.measure(profiles, "", None, f"{version}: {error}")
    return Drift.measure(profiles, str(version), before, "")


def _report(found: list[Anomaly], drift: Drift) -> None:
    for anomaly in found:
        logger.warning("%s: %s", anomaly.severity, anomaly)
    for line in str(drift).splitlines():
        logger.info("%s", line)


def _write(path: str, text: str) -> None:
    """Writes aside, then renames."""
    with fileio.open(f"{path}.part", "w") as file:
        file.write(text)
    fileio.rename(f"{path}.part", path, overwrite=True)


class DetectionValidatorSpec(ExampleValidatorSpec):
    """TFX's ExampleValidatorSpec, and what the verdict depends on besides."""

    INPUTS = {  # noqa: RUF012 TFX's own form
        **ExampleValidatorSpec.INPUTS,
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    PARAMETERS = {  # noqa: RUF012
        **ExampleValidatorSpec.PARAMETERS,
        "validation": ExecutionParameter(type=str),
        "registry": ExecutionParameter(type=str),
        "baseline": ExecutionParameter(type=str),
        "fingerprint": ExecutionParameter(type=str),
    }


class ExampleValidator(base_component.BaseComponent):
    """Fails the run by the severity of what is wrong with its data; outputs `anomalies`.

    Besides TFDV's own file per split, `anomalies` holds `anomalies.json`, which lists them, and `drift.json`
    (`efficientdet.validation.Drift`). TFX removes the artifact of a run that fails; `anomalies-refused.json` beside
    it then holds both.
    """

    SPEC_CLASS = DetectionValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        statistics: BaseChannel,
        schema: BaseChannel,
        examples: BaseChannel,
        validation: Validation,
        registry: Mapping[str, Any] | None = None,
        baseline: str = "",
        fingerprint: str = "",
    ) -> None:
        """The node of a pipeline.

        Args:
          statistics: ExampleStatistics of our StatisticsGen, with the profile of the data.
          schema: Schema to keep; the classes are narrowed to those of the examples.
          examples: Examples with their label map.
          validation: which severity fails the run, and how far the data may have moved.
          registry: `uri` and `name` of the registered model whose champion is the baseline.
          baseline: registry version to measure drift against, `@alias` to look it up when validating, empty for none.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
        """
        spec = DetectionValidatorSpec(
            statistics=statistics,
            schema=schema,
            examples=examples,
            exclude_splits=json_utils.dumps([]),
            validation=json.dumps(validation.to_dict()),
            registry=json.dumps(dict(registry or {})),
            baseline=baseline,
            fingerprint=fingerprint,
            anomalies=Channel(type=standard_artifacts.ExampleAnomalies),
        )
        super().__init__(spec=spec)
