"""What a run of a compiled pipeline may set anew, and how its nodes tell that it did."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tfx.dsl.io import fileio
from tfx.types.component_spec import ExecutionParameter

DATA_PATH, EPOCHS, FLOORS = "data_path", "epochs", "floors"
COMPILED = "compiled"
"""The execution parameter that holds, as JSON, the values that a pipeline was compiled with, and DATA."""
DATA = "data"
"""Fingerprint of the data that it was compiled for; empty where they lie in a bucket, whose bytes nobody has read."""
EXAMPLES = "examples"
CHUNK = 1 << 20

TRAINING_PARAMETERS = {
    DATA_PATH: ExecutionParameter(type=str, optional=True),
    EPOCHS: ExecutionParameter(type=float, optional=True),
    COMPILED: ExecutionParameter(type=str, optional=True),
}
"""Ports of a node whose result depends on the data and on how long a detector is trained."""


def changed_parameters(exec_properties: Mapping[str, Any], examples: str) -> dict[str, Any]:
    """The runtime parameters of a node that are not as the pipeline was compiled; empty for a run on this machine.

    Where the compiled fingerprint is not that of this run's data, as with another `data_path`, `examples` is the digest
    of the shards in the folder of this name: another content is another training, wherever it lies.
    """
    compiled = json.loads(exec_properties.get(COMPILED) or "{}")
    if not compiled:
        return {}
    known = compiled.pop(DATA)
    changed = {name: exec_properties[name] for name, value in compiled.items() if exec_properties.get(name) != value}
    return changed if known and DATA_PATH not in changed else changed | {EXAMPLES: examples_digest(examples)}


def examples_digest(folder: str) -> str:
    """First 16 hex digits of the sha256 over the shards of every split, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(fileio.glob(f"{folder}/Split-*/*")):
        digest.update(f"{path.removeprefix(folder)}\0".encode())
        with fileio.open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()[:16]


def changed_fingerprint(fingerprint: str, changed: Mapping[str, Any]) -> str:
    """The fingerprint of a compiled pipeline's inputs, made one of these parameters too where any was changed."""
    if not changed:
        return fingerprint
    return hashlib.sha256(json.dumps([fingerprint, changed], sort_keys=True).encode()).hexdigest()[:16]
