"""What a run of a compiled pipeline may set anew, and how its nodes tell that it did."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tfx.types.component_spec import ExecutionParameter

DATA_PATH, EPOCHS, FLOORS = "data_path", "epochs", "floors"
COMPILED = "compiled"
"""The execution parameter that holds, as JSON, the values that a pipeline was compiled with."""

TRAINING_PARAMETERS = {
    DATA_PATH: ExecutionParameter(type=str, optional=True),
    EPOCHS: ExecutionParameter(type=float, optional=True),
    COMPILED: ExecutionParameter(type=str, optional=True),
}
"""Ports of a node whose result depends on the data and on how long a detector is trained."""


def changed_parameters(exec_properties: Mapping[str, Any]) -> dict[str, Any]:
    """The runtime parameters of a node that are not as the pipeline was compiled; empty for a run on this machine."""
    compiled = json.loads(exec_properties.get(COMPILED) or "{}")
    return {name: exec_properties[name] for name, value in compiled.items() if exec_properties.get(name) != value}


def changed_fingerprint(fingerprint: str, changed: Mapping[str, Any]) -> str:
    """The fingerprint of a compiled pipeline's inputs, made one of these parameters too where any was changed."""
    if not changed:
        return fingerprint
    return hashlib.sha256(json.dumps([fingerprint, changed], sort_keys=True).encode()).hexdigest()[:16]
