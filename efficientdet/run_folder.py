"""The folder of one training run: what was asked for, its checkpoints and logs, and the detector it ends with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import yaml

from efficientdet.atomic_file import write_file
from efficientdet.config import FILE_NAME as CONFIG_FILE
from efficientdet.config import Config, ExportConfig
from efficientdet.errors import ConfigError
from efficientdet.label_map import FILE_NAME as LABEL_MAP_FILE
from efficientdet.label_map import LabelMap
from efficientdet.lock import lock

EXAMPLES_FILE = "examples.json"
WEIGHTS_FILE = "detector.weights.h5"
"""Of the detector that a run ends with, in its folder."""
# Settings that a run may go on with changed: how long it lasts, where it runs, what it notes down, what ships.
CHANGEABLE = {
    f"training.{name}"
    for name in (
        *("epochs", "max_steps", "strategy", "tpu", "gcp_project", "tpu_zone", "accumulate", "steps_per_execution"),
        *("checkpoint_steps", "keep_checkpoints", "eval_epochs", "patience", "result", "preflight", "profile_steps"),
    )
} | {f"export.{name}" for name in ExportConfig.model_fields}


class RunFolder:
    """Where a run keeps what; a folder belongs to the config, the classes and the examples it began with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None
        self.checkpoints, self.logs, self.detector = path / "checkpoints", path / "logs", path / "detector"

    @property
    def steps(self) -> int:
        """The step of the newest checkpoint; 0 when there is none."""
        indexes = self.checkpoints.glob("step-*.index")
        return max((int(index.stem.removeprefix("step-")) for index in indexes), default=0)

    @property
    def begun(self) -> bool:
        """Whether there is something that a run with other settings would spoil."""
        return bool(self.steps) or self.detector.exists()

    def close(self) -> None:
        """Lets other processes train here."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def claim(self, config: Config, label_map: LabelMap, shards: Mapping[str, int]) -> None:
        """Writes down what is trained here; shards are given with their sizes in bytes.

        Raises:
          ConfigError: a run with other settings has begun here, or the files are someone else's, or another
            process trains here. What failed before its first checkpoint may be corrected.
        """
        self._lock = self._lock or lock(self.path)
        sizes = {"/".join(Path(shard).parts[-2:]): size for shard, size in shards.items()}
        texts = {
            EXAMPLES_FILE: json.dumps(sizes, indent=1) + "\n",
            LABEL_MAP_FILE: label_map.to_json(),
            CONFIG_FILE: config.to_yaml(),
        }
        keep = self.begun or not (self.path / EXAMPLES_FILE).is_file()
        for name, text in texts.items():
            if keep and self.path.exists():
                _check_same(self.path / name, text, missing_is_fine=not self.begun)
        for name, text in texts.items():
            write_file(self.path / name, text)


def _check_same(path: Path, text: str, missing_is_fine: bool) -> None:
    there = path.read_bytes().decode(errors="replace") if path.is_file() else ""
    if there == text or (not there and missing_is_fine):
        return
    differences = _differences(there, text)
    if path.name == CONFIG_FILE and differences is not None and set(differences) <= CHANGEABLE:
        return
    shown = [f"{name} is {old} there, {new} here" for name, (old, new) in (differences or {}).items()]
    what = f" ({'; '.join(shown[:3])})" if shown else ""
    raise ConfigError(
        f"{path}: is of another run{what}; name another folder, or give the settings of that run to go on with it"
    )


def _differences(there: str, here: str) -> dict[str, tuple[Any, Any]] | None:
    """Each setting in which two YAML texts differ, with its values; None when one is no YAML."""
    try:
        old, new = _leaves(yaml.safe_load(there)), _leaves(yaml.safe_load(here))
    except yaml.YAMLError:
        return None
    names = [name for name in {**new, **old} if old.get(name) != new.get(name)]
    return {name: (old.get(name), new.get(name)) for name in names}


def _leaves(values: Any, prefix: str = "") -> dict[str, Any]:
    """Every dotted key of nested mappings with its value."""
    if not isinstance(values, dict):
        return {prefix: values} if prefix else {}
    nested = [_leaves(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in values.items()]
    return {name: value for leaves in nested for name, value in leaves.items()}
