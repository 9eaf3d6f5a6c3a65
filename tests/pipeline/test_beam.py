"""Where the Beam steps run: what is refused before anything starts, and what reaches Beam."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
    WorkerOptions,
)
from tfx.dsl.compiler.compiler import Compiler
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from components.shard_job import ShardOptions
from efficientdet.errors import ConfigError
from pipeline.beam import BeamConfig, check_arguments
from pipeline.config import PipelineConfig, load_config
from pipeline.local_runner import run
from pipeline.pipeline import create_pipeline

ROOT = Path(__file__).parents[2]
DATAFLOW = ["--project=my-project", "--region=europe-west4", "--temp_location=gs://my-bucket/temp"]
FLINK, SPARK = ["--flink_master=flink:8081"], ["--spark_master_url=spark://spark:7077"]
POOL = ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"]


def options_of(runner: str, args: list[str], **more: Any) -> PipelineOptions:
    """What Beam's own parsers make of a block of settings; none of it may be unknown to them."""
    config = BeamConfig(runner=runner, args=tuple(args), **more)
    check_arguments(config)
    options = PipelineOptions(config.arguments("registry/image:1"))
    assert options.get_all_options(retain_unknown_options=True).keys() == options.get_all_options().keys()
    assert options.view_as(StandardOptions).runner == runner
    assert options.view_as(WorkerOptions).sdk_container_image == "registry/image:1"
    return options


def test_this_machine_without_another_engine_is_the_default() -> None:
    options = options_of(BeamConfig().runner, [])
    assert options.view_as(StandardOptions).runner == "FnApiRunner"
    assert options.view_as(DirectOptions).direct_num_workers == 1
    job = options.view_as(ShardOptions)
    assert (job.shard_retries, job.shard_patience) == (2, 1800)
    many = options_of("FnApiRunner", [], workers=3, retries=0, patience=0.5)
    direct, job = many.view_as(DirectOptions), many.view_as(ShardOptions)
    assert (direct.direct_num_workers, direct.direct_running_mode) == (3, "multi_processing")
    assert (job.shard_retries, job.shard_patience) == (0, 30)


def test_every_engine_takes_its_arguments() -> None:
    cloud = options_of("DataflowRunner", [*DATAFLOW, "--max_num_workers=20"])
    assert cloud.view_as(GoogleCloudOptions).project == "my-project"
    assert cloud.view_as(WorkerOptions).max_num_workers == 20
    flink = options_of("FlinkRunner", [*FLINK, "--parallelism=8", "--flink_version=1.19"])
    assert flink.view_as(FlinkRunnerOptions).flink_master == "flink:8081"
    assert flink.view_as(FlinkRunnerOptions).parallelism == 8
    spark = options_of("SparkRunner", [*SPARK, "--spark_job_server_jar=beam-runners-spark-3-job-server.jar"])
    assert spark.view_as(SparkRunnerOptions).spark_master_url == "spark://spark:7077"
    portable = options_of("PortableRunner", ["--job_endpoint=localhost:8099", *POOL])
    assert portable.view_as(PortableOptions).job_endpoint == "localhost:8099"


@pytest.mark.parametrize(
    ("runner", "args", "environment"),
    [
        ("FlinkRunner", FLINK, ("DOCKER", "registry/image:1")),
        ("FlinkRunner", ["--flink_master=[local]"], (None, None)),
        ("SparkRunner", SPARK, ("DOCKER", "registry/image:1")),
        ("SparkRunner", ["--spark_master_url=local[2]"], (None, None)),
        ("PortableRunner", ["--job_endpoint=localhost:8099"], ("DOCKER", "registry/image:1")),
        ("PortableRunner", ["--job_endpoint=localhost:8099", *POOL], ("EXTERNAL", "localhost:50000")),
        ("DataflowRunner", DATAFLOW, (None, None)),
    ],
)
def test_workers_of_a_job_server_run_our_image(runner: str, args: list[str], environment: tuple[Any, Any]) -> None:
    portable = options_of(runner, args).view_as(PortableOptions)
    assert (portable.environment_type, portable.environment_config) == environment


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"runner": "SamzaRunner"}, "beam.runner='SamzaRunner'"),
        ({"runner": "DataflowRunner"}, "beam.runner=DataflowRunner needs --project=my-project; add it to beam.args"),
        ({"runner": "DataflowRunner", "args": DATAFLOW[:2]}, "needs --temp_location=gs://"),
        ({"runner": "DataflowRunner", "args": [*DATAFLOW[:2], "--temp_location=/tmp"]}, "must be a bucket's folder"),
        ({"runner": "DataflowRunner", "args": DATAFLOW}, "pulls cluster.image='efficientdet-pipeline:latest'"),
        ({"runner": "FlinkRunner"}, "needs --flink_master=flink:8081 or --job_endpoint=localhost:8099"),
        ({"runner": "SparkRunner"}, "needs --spark_master_url=spark://spark:7077 or"),
        ({"runner": "PortableRunner"}, "needs --job_endpoint=localhost:8099"),
        ({"runner": "FlinkRunner", "args": [*FLINK, POOL[0]]}, "EXTERNAL needs --environment_config"),
        ({"runner": "FlinkRunner", "args": FLINK, "workers": 4}, "give --parallelism=4 in beam.args instead"),
        ({"args": ["--runner=FlinkRunner"]}, "set beam.runner=FlinkRunner instead"),
        ({"args": ["project=p"]}, "must be of the form --name=value"),
        ({"workers": 0}, "beam.workers=0"),
    ],
)
def test_what_cannot_run_is_refused(config: PipelineConfig, over: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        config.override({"beam": over})


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"args": ["--direct_num_workrs=2"]}, "Beam knows no --direct_num_workrs; did you mean --direct_num_workers"),
        ({"runner": "FlinkRunner", "args": [*FLINK, "--parallelism=many"]}, "invalid int value: 'many'"),
    ],
)
def test_arguments_beam_would_drop_are_told_before_any_work(config: PipelineConfig, over: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        run(config.override({"beam": over}))
    assert not Path(config.root).exists()


def test_a_job_server_may_know_more_arguments() -> None:
    check_arguments(BeamConfig(runner="FlinkRunner", args=(*FLINK, "--checkpointing_interval=60000")))


def test_every_beam_step_gets_the_arguments(config: PipelineConfig) -> None:
    config = config.override({"beam": {"runner": "FlinkRunner", "args": FLINK}})
    compiled = Compiler().compile(create_pipeline(config, config.root, data="f00", baseline=""))
    deployment, step = pipeline_pb2.IntermediateDeploymentConfig(), executable_spec_pb2.BeamExecutableSpec()
    compiled.deployment_config.Unpack(deployment)
    found = {n: list(step.beam_pipeline_args) for n, spec in deployment.executor_specs.items() if spec.Unpack(step)}
    assert found == dict.fromkeys(
        ["VocExampleGen", "StatisticsGen", "Evaluator"], config.beam.arguments(config.cluster.image)
    )


def test_the_documented_commands_are_accepted() -> None:
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs/beam.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("efficientdet-pipeline")]
    runners = set()
    for command in commands:
        sets = [value for flag, value in itertools.pairwise(command) if flag == "--set"]
        config = load_config(ROOT / "pipeline/configs/demo.yaml", sets)
        check_arguments(config.beam)
        runners.add(config.beam.runner)
    assert runners == {"FnApiRunner", "DataflowRunner", "FlinkRunner", "SparkRunner", "PortableRunner"}
