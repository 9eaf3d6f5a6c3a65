"""The Beam engine that example generation, statistics, validation and evaluation run on."""

from __future__ import annotations

import contextlib
import difflib
import io
from typing import Literal

from pydantic import Field, model_validator

from efficientdet.errors import ConfigError
from efficientdet.settings import Settings

Runner = Literal["FnApiRunner", "DirectRunner", "PortableRunner", "DataflowRunner", "FlinkRunner", "SparkRunner"]

# What a runner cannot start without: of each group, one argument.
_NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "PortableRunner": (("job_endpoint",),),
    "DataflowRunner": (("project",), ("region",), ("temp_location",)),
    "FlinkRunner": (("flink_master", "job_endpoint"),),
    "SparkRunner": (("spark_master_url", "spark_rest_url", "job_endpoint"),),
}
_EXAMPLES = {
    "job_endpoint": "localhost:8099",
    "project": "my-project",
    "region": "europe-west4",
    "temp_location": "gs://my-bucket/temp",
    "flink_master": "flink:8081",
    "spark_master_url": "spark://spark:7077",
}
_PARALLELISM = {
    "DataflowRunner": "--max_num_workers",
    "FlinkRunner": "--parallelism",
    "PortableRunner": "--sdk_worker_parallelism",
}
# Their job servers know arguments that Beam's Python does not.
_WITH_JOB_SERVER = ("PortableRunner", "FlinkRunner", "SparkRunner")
# Masters for which Beam runs the workers in this process.
_LOCAL_MASTERS = ("[local]", "[auto]", "local")
_ENVIRONMENT = ("environment_config", "environment_option", "environment_options")


class BeamConfig(Settings):
    """Where the Beam steps run; the transforms are the same everywhere."""

    runner: Runner = Field(
        "FnApiRunner", description="Beam's engine; FnApiRunner is this machine, without downloading another engine."
    )
    args: tuple[str, ...] = Field(
        (), description="Further arguments of Beam, each as --name=value: --project, --job_endpoint, --parallelism."
    )
    workers: int = Field(1, gt=0, description="FnApiRunner: worker processes on this machine.")
    workers_see_buckets: bool = Field(
        False,
        description="DataflowRunner: the workers' image shows buckets as folders, as nodes have them.",
    )
    retries: int = Field(2, ge=0, description="Further jobs for the missing shards when one fails or gets lost.")
    patience: float = Field(30.0, gt=0, description="Minutes without a new shard after which a job counts as lost.")

    @model_validator(mode="after")
    def _complete(self) -> BeamConfig:
        for arg in self.args:
            if not arg.startswith("--") or " " in arg.partition("=")[0]:
                raise ValueError(f"beam.args={arg!r}: must be of the form --name=value, or --name for a switch")
        given = self._given
        if "runner" in given:
            raise ValueError(f"beam.args names --runner; set beam.runner={given['runner'] or '...'} instead")
        for names in _NEEDS.get(self.runner, ()):
            if not any(given.get(name) for name in names):
                wanted = " or ".join(f"--{name}={_EXAMPLES[name]}" for name in names if name in _EXAMPLES)
                raise ValueError(f"beam.runner={self.runner} needs {wanted}; add it to beam.args")
        if self.runner == "DataflowRunner" and not given["temp_location"].startswith("gs://"):
            raise ValueError(f"beam.args: --temp_location={given['temp_location']} must be a bucket's folder, gs://...")
        external = given.get("environment_type") in ("EXTERNAL", "PROCESS")
        if external and not given.keys() & set(_ENVIRONMENT):
            raise ValueError(
                f"beam.args: --environment_type={given['environment_type']} needs --environment_config, the worker"
                " pool's host:port or the process's JSON; add it"
            )
        if self.workers > 1 and self.runner != "FnApiRunner":
            instead = _PARALLELISM.get(self.runner)
            remedy = f"; give {instead}={self.workers} in beam.args instead" if instead else "; leave it out"
            raise ValueError(f"beam.workers={self.workers} is for FnApiRunner, not for {self.runner}{remedy}")
        return self

    def arguments(self, image: str) -> list[str]:
        """Beam's arguments; `image` is what workers in containers run."""
        processes = (f"--direct_num_workers={self.workers}", "--direct_running_mode=multi_processing")
        # Dataflow takes the image from the first, job servers from the second. Without it TFX packs its own sources
        # for the workers, anew in each step.
        return [
            f"--runner={self.runner}",
            f"--sdk_container_image={image}",
            *((f"--environment_config={image}", "--environment_type=DOCKER") if self._in_containers else ()),
            *(processes if self.workers > 1 else ()),
            f"--shard_retries={self.retries}",
            f"--shard_patience={60 * self.patience:g}",
            *self.args,
        ]

    @property
    def _given(self) -> dict[str, str]:
        return dict(arg.removeprefix("--").partition("=")[::2] for arg in self.args)

    @property
    def _in_containers(self) -> bool:
        """Whether a job server is to start the workers in containers, of an image that is not named yet."""
        given = self._given
        master = given.get("flink_master") or given.get("spark_master_url") or ""
        local = "environment_type" not in given and "job_endpoint" not in given and master.startswith(_LOCAL_MASTERS)
        named = given.get("environment_type", "DOCKER") != "DOCKER" or given.keys() & set(_ENVIRONMENT)
        return self.runner in _WITH_JOB_SERVER and not local and not named


def check_arguments(config: BeamConfig) -> None:
    """Raises ConfigError for arguments that Beam would drop with a warning, or whose values it cannot read."""
    from apache_beam.options.pipeline_options import PipelineOptions

    import components.shard_job  # noqa: F401 - its arguments

    args = [f"--runner={config.runner}", *config.args]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(args)
            known = options.get_all_options()
            unknown = sorted(options.get_all_options(retain_unknown_options=True).keys() - known.keys())
    except SystemExit as error:
        problem = said.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise ConfigError(f"beam.args: {problem}") from error
    if unknown and config.runner not in _WITH_JOB_SERVER:
        near = difflib.get_close_matches(unknown[0], known, n=2)
        hint = f"; did you mean {' or '.join(f'--{name}' for name in near)}?" if near else ""
        raise ConfigError(f"beam.args: Beam knows no --{unknown[0]}{hint}")
