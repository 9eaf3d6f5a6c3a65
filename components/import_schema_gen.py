"""The ImportSchemaGen node: the product's schema of detection records, imported again when it changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tfx.components.schema_gen.import_schema_gen import executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import Channel, standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import ImportSchemaGenSpec

import schemas


class DetectionSchemaSpec(ImportSchemaGenSpec):
    """TFX's ImportSchemaGenSpec, and the content that its path stands for."""

    PARAMETERS = {  # noqa: RUF012 TFX's own form
        **ImportSchemaGenSpec.PARAMETERS,
        "fingerprint": ExecutionParameter(type=str),
    }


class ImportSchemaGen(base_component.BaseComponent):
    """Imports schemas/detection.pbtxt; outputs `schema`. TFX's own node would keep what once lay under the path."""

    SPEC_CLASS = DetectionSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self) -> None:
        path = schemas.path("detection.pbtxt")
        spec = DetectionSchemaSpec(
            schema_file=path,
            fingerprint=hashlib.sha256(Path(path).read_bytes()).hexdigest(),
            schema=Channel(type=standard_artifacts.Schema),
        )
        super().__init__(spec=spec)
