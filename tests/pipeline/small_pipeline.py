"""A real TFX pipeline of two nodes that cost nothing, run with the name, root and metadata of a config."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from pipeline.config import PipelineConfig
from pipeline.local_runner import ALL, run_pipeline
from pipeline.selection import Selection

WORK: dict[str, Callable[[], object]] = {"": lambda: None, "be killed": lambda: os.kill(os.getpid(), signal.SIGKILL)}
"""What the first node may do besides."""


@component
def Trainer(model: OutputArtifact[standard_artifacts.Model], work: Parameter[str], again: Parameter[int]):  # noqa: N802 TFX's own form
    """Trains nothing, and does the `work` of that name; another number `again` is not taken from the cache."""
    Path(model.uri, "weights").write_text("none")
    WORK[work]()


@component
def Pusher(  # noqa: N802
    model: InputArtifact[standard_artifacts.Model], pushed: OutputArtifact[standard_artifacts.PushedModel]
):
    """Pushes the model nowhere."""
    Path(pushed.uri, "weights").write_text(Path(model.uri, "weights").read_text())


def run(config: PipelineConfig, work: str = "", again: int = 0, selection: Selection = ALL) -> None:
    """Runs Trainer and Pusher."""

    def build() -> Pipeline:
        trainer = Trainer(work=work, again=again)
        nodes = [trainer, Pusher(model=trainer.outputs["model"])]
        return Pipeline(config.name, f"{config.root}/artifacts", components=nodes, enable_cache=True)

    run_pipeline(config, build, selection)


def run_killed(config: PipelineConfig) -> None:
    """The same in a process that is killed inside the first node."""
    # A fork has imported TFX already.
    child = multiprocessing.get_context("fork").Process(target=run, args=(config, "be killed"))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
