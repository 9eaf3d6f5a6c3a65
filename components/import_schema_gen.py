"""The ImportSchemaGen node: the product's schema of detection records, imported again when it changes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tfx.components.schema_gen.import_schema_gen import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import Channel, standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import ImportSchemaGenSpec

import schemas
from efficientdet.errors import ConfigError

NAME = "detection.pbtxt"


class DetectionSchemaSpec(ImportSchemaGenSpec):
    """TFX's ImportSchemaGenSpec, and the content that its path stands for."""

    PARAMETERS = {  # noqa: RUF012 TFX's own form
        **ImportSchemaGenSpec.PARAMETERS,
        "fingerprint": ExecutionParameter(type=str),
    }


class Executor(executor.Executor):
    """Imports the file from the package where it runs: in a container that is not where the pipeline was compiled."""

    def Do(  # noqa: N802 TFX's own name
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Writes the schema; ConfigError where it is another than the node stands for."""
        path = schemas.path(exec_properties["schema_file"])
        if _sum(path) != exec_properties["fingerprint"]:
            raise ConfigError(
                f"{path}: is not the schema that the pipeline was compiled with; build the image from the same source"
            )
        super().Do(input_dict, output_dict, exec_properties | {"schema_file": path})


class ImportSchemaGen(base_component.BaseComponent):
    """Imports schemas/detection.pbtxt; outputs `schema`. TFX's own node would keep what once lay under the path."""

    SPEC_CLASS = DetectionSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self) -> None:
        spec = DetectionSchemaSpec(
            schema_file=NAME,
            fingerprint=_sum(schemas.path(NAME)),
            schema=Channel(type=standard_artifacts.Schema),
        )
        super().__init__(spec=spec)


def _sum(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
