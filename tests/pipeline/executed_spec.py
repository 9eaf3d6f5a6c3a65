"""A job of the tests compiled for an engine, and what was written executed by spec_runner.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig
from pipeline.kubeflow_runner import compile_pipeline

REPOSITORY = Path(__file__).parents[2]
CHECKS = {"StatisticsGen", "ImportSchemaGen", "ExampleValidator"}
NODES = {"CocoExampleGen", *CHECKS, "Trainer", "Exporter", "Evaluator", "InfraValidator", "Pusher"}
EVERY_TASK = NODES | {"tfx-dag", "OutcomeReporter"}


@dataclass
class Executed:
    """A run of a specification below a folder; its registry is another one than the local run's."""

    folder: Path
    registry: Path
    outcome: Path

    @property
    def states(self) -> dict[str, str]:
        return self.read("states.json")

    def read(self, pattern: str) -> dict[str, Any]:
        """The one file of a pattern."""
        [path] = self.folder.glob(pattern)
        return json.loads(path.read_text())


def execute(
    config: PipelineConfig, engine: str, root: Path, words: Sequence[str] = (), image: str = "", **parameters: Any
) -> Executed:
    """Compiles the config for an engine and runs what was written; all runs of a root share its registry.

    `words` are the runner's, `image` is the cluster's.
    """
    executed = Executed(root / f"{engine}-{len(list(root.iterdir()))}", root / "registry", root / "outcome.json")
    cluster = {"root": str(root), "report_to": str(executed.outcome), "retries": 0} | (
        {"image": image} if image else {}
    )
    placed = config.override({"cluster": cluster, "registry": {"uri": str(executed.registry)}})
    spec = root / {"kubeflow": "tiny.yaml", "vertex": "tiny.json"}[engine]
    compile_pipeline(placed, engine, spec)  # type: ignore[arg-type]
    given = [f"{name}={json.dumps(value)}" for name, value in parameters.items()]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(REPOSITORY / "tests/pipeline/spec_runner.py"), str(spec), str(executed.folder)]
    with (root / "screen.log").open("a") as log:
        subprocess.run([*command, *words, *given], env=environment, stdout=log, stderr=log, check=True)
    return executed
