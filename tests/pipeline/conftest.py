"""The command as a user types it, in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import yaml

from efficientdet.data.demo import write_demo_data
from pipeline.config import PipelineConfig

# Its children have loaded TensorFlow and TFX already, half of the time of a run that finds all in the cache.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pipeline.local_runner", "pipeline.summary"])
COMMAND = str(Path(__file__).with_name("forked_command.py"))


@dataclass
class Job:
    """One pipeline in a folder of its own, run by `efficientdet-pipeline run` in processes of its own."""

    folder: Path
    config: dict[str, Any]

    @property
    def registry(self) -> str:
        return self.config["registry"]["uri"]

    def words(self, overrides: Sequence[str] = ()) -> list[str]:
        """What follows the command's name."""
        path = self.folder / "pipeline.yaml"
        path.write_text(yaml.safe_dump(self.config))
        sets = [word for pair in overrides for word in ("--set", pair)]
        return ["run", "--config", str(path), "--summary", str(self.folder / "summary.json"), *sets]

    def run(self, *overrides: str, words: Sequence[str] = ()) -> tuple[int, dict[str, Any]]:
        """Exit code and summary; `words` are further options of the command."""
        summary = self.folder / "summary.json"
        summary.unlink(missing_ok=True)
        process = self.start(self.folder / "screen.log", [*self.words(overrides), *words])
        process.join()
        assert process.exitcode is not None
        return process.exitcode, json.loads(summary.read_text()) if summary.exists() else {}

    def bless(self, run: str, reason: str) -> subprocess.CompletedProcess[str]:
        """Overrides the verdict of a run."""
        words = ["bless", run, "--reason", reason, "--config", str(self.folder / "pipeline.yaml")]
        return subprocess.run([sys.executable, "-m", "pipeline", *words], capture_output=True, text=True, check=False)

    def runs(self, *words: str) -> list[dict[str, Any]]:
        """What the command `runs` tells."""
        command = [sys.executable, "-m", "pipeline", "runs", "--config", str(self.folder / "pipeline.yaml"), "--json"]
        return json.loads(subprocess.run([*command, *words], capture_output=True, check=True).stdout)

    def start(self, log: Path, words: Sequence[str] = ()) -> ForkServerProcess:
        """A run that is not waited for; its screen goes to the end of `log`."""
        given = {"words": [*(words or self.words())], "log": log}
        process = FORKS.Process(target=runpy.run_path, args=(COMMAND, given))
        process.start()
        return process

    @staticmethod
    def cached(summary: dict[str, Any]) -> set[str]:
        """The nodes that were taken from the cache."""
        return {node["name"] for node in summary["nodes"] if node["cached"]}

    @staticmethod
    def worked(summary: dict[str, Any]) -> set[str]:
        """The nodes that did their work."""
        return {node["name"] for node in summary["nodes"] if node["state"] == "COMPLETE"}


@pytest.fixture(scope="session")
def efficientdet() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The consumer's command, with TensorFlow made impossible to import."""
    block = "import sys; sys.modules['tensorflow'] = None; from efficientdet.cli import main; main()"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", block, *words], capture_output=True, text=True, check=False)

    return run


TINY_DETECTOR = {
    "model": {
        "name": "efficientdet-lite0",
        "image_size": 96,
        "backbone_weights": None,
        "fpn_filters": 16,
        "fpn_repeats": 1,
        "head_repeats": 1,
    },
    "data": {"flip": False, "jitter_min": 0.9, "jitter_max": 1.1},
    "training": {
        "batch_size": 4,
        "max_steps": 12,
        "checkpoint_steps": 4,
        "learning_rate": 0.1,
        "warmup_epochs": 0,
        # A Trainer starts many times in these tests; what it does besides is tested where it lives.
        "preflight": False,
        "eval_epochs": 0,
    },
    "export": {"calibration_images": 8},
    "nms": {"score_threshold": 0.0},
}


@pytest.fixture(scope="module")
def coco_job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Twelve training images of digits, four to judge by, a detector of 96 pixels that learns for twelve steps."""
    from efficientdet.data.demo import write_demo_data

    folder = tmp_path_factory.mktemp("coco")
    write_demo_data(folder / "data", images={"train": 12, "eval": 4}, size=(96, 96))
    return Job(
        folder,
        {
            "name": "tiny-coco",
            "root": str(folder / "root"),
            "source": {
                "format": "coco",
                "path": str(folder / "data"),
                "splits": {split: f"annotations/instances_{split}.json" for split in ("train", "eval")},
                "images": {"train": "train", "eval": "eval"},
            },
            "detector": TINY_DETECTOR,
            "blessing": {"on_no_bounds": "bless"},
            "registry": {"uri": str(folder / "registry"), "name": "tiny"},
        },
    )


@pytest.fixture(scope="session")
def pipeline_job() -> type[Job]:
    """Makes jobs."""
    return Job


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    """A pipeline whose folders do not exist yet."""
    return PipelineConfig.parse(
        {
            "name": "tiny",
            "root": str(tmp_path / "root"),
            "source": {"format": "voc", "path": str(tmp_path), "splits": {"train": "train", "eval": "val"}},
            "registry": {"name": "tiny", "uri": str(tmp_path / "registry")},
        }
    )


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline for both engines."""
    folder = tmp_path_factory.mktemp("cluster_run")
    write_demo_data(folder / "data", images={"train": 2, "eval": 1}, size=(96, 96))
    splits = {split: f"annotations/instances_{split}.json" for split in ("train", "eval")}
    values = {
        "name": "digits",
        "root": str(folder / "root"),
        "source": {
            "format": "coco",
            "path": str(folder / "data"),
            "splits": splits,
            "images": {"train": "train", "eval": "eval"},
        },
        "registry": {"name": "digits", "uri": str(folder / "registry")},
        "cluster": {
            "root": "gs://bucket/pipelines",
            "image": "team/image:1",
            "project": "team",
            "region": "europe-west4",
            "service_account": "runner@team",
            "namespace": "vision",
            "report_to": "https://example.org/hook",
            "secrets": [{"name": "mlflow", "variables": {"password": "MLFLOW_TRACKING_PASSWORD"}}],
            "resources": {"Trainer": {"cpu": 8, "gpus": 1}},
        },
    }
    path = folder / "digits.yaml"
    path.write_text(yaml.safe_dump(values))
    return path
