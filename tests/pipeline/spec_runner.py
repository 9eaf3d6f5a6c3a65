"""Executes a compiled specification without a cluster, task by task, as its containers would be run.

    python spec_runner.py demo.json ROOT [--mount FOLDER ...] [name=json ...]

Each executor's very command and arguments run in a process of their own, forked from one that has imported TFX, in an
empty folder; or, with folders to mount, in a container of the specification's image without network. Artifacts reach
other tasks through the executors' outputs alone. A job (JSON) is run as Vertex AI does, with the hook before the cache;
a specification (YAML) as Kubeflow does, without. What neither our pipeline nor this program knows, such as resolvers,
is refused. ROOT/states.json says how each task ended.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from tests.pipeline import podman

Json = dict[str, Any]
# Image, words and the folder of the log to an exit code.
Launch = Callable[[str, Sequence[str], Path], int]
PLACEHOLDER = "{{$}}"
SUCCEEDED, FAILED, SKIPPED = "SUCCEEDED", "FAILED", "SKIPPED"


class SpecRun:
    """One run of a specification below a folder."""

    def __init__(self, path: Path, root: Path, given: Mapping[str, Any], launch: Launch) -> None:
        documents = list(yaml.safe_load_all(path.read_text()))
        self.as_vertex = "pipelineSpec" in documents[0]
        self.spec = parse(documents[0]["pipelineSpec"] if self.as_vertex else documents[0], pb.PipelineSpec())
        self.executors = parse(self.spec.deployment_spec, pb.PipelineDeploymentConfig()).executors
        for config in own_of_kubernetes(documents):
            parse(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
        self.root, self.launch, self.states = root, launch, dict[str, str]()
        known = self.spec.root.input_definitions.parameters
        assert not given.keys() - known.keys(), f"there are {', '.join(known)}"
        defaults = {name: json_format.MessageToDict(each.default_value) for name, each in known.items()}
        self.parameters = defaults | dict(given)

    def run(self) -> None:
        """Runs every task whose turn comes."""
        self.dag(self.spec.root.dag, self.parameters)

    def dag(self, dag: pb.DagSpec, parameters: Json) -> str:
        """Runs a group of tasks in order; how it ended."""
        outputs: dict[str, pb.ExecutorOutput] = {}
        for name in TopologicalSorter({name: set(upstream(task)) for name, task in dag.tasks.items()}).static_order():
            task = dag.tasks[name]
            whatever = task.trigger_policy.strategy == task.trigger_policy.ALL_UPSTREAM_TASKS_COMPLETED
            assert not task.trigger_policy.condition, f"{name}: conditions are not known here"
            if not whatever and any(self.states[before] != SUCCEEDED for before in upstream(task)):
                self.states[name] = SKIPPED
                continue
            inputs = {key: self.value(each, parameters) for key, each in task.inputs.parameters.items()}
            component = self.spec.components[task.component_ref.name]
            if component.HasField("dag"):
                self.states[name] = self.dag(component.dag, inputs)
            else:
                outputs[name] = self.task(name, task, component, inputs, outputs)
            print(name, self.states[name], flush=True)
        return FAILED if {self.states[name] for name in dag.tasks} - {SUCCEEDED} else SUCCEEDED

    def value(self, source: Any, parameters: Json) -> Any:
        """A parameter of a task."""
        match source.WhichOneof("kind"):
            case "runtime_value":
                return json_format.MessageToDict(source.runtime_value.constant)
            case "component_input_parameter":
                return parameters[source.component_input_parameter]
            case "task_final_status":
                state = self.states[source.task_final_status.producer_task]
                return json.dumps({"state": state, "pipelineJobResourceName": str(self.root)})
        raise NotImplementedError(source)

    def task(
        self,
        name: str,
        task: pb.PipelineTaskSpec,
        component: pb.ComponentSpec,
        parameters: Json,
        outputs: Mapping[str, pb.ExecutorOutput],
    ) -> pb.ExecutorOutput:
        """Runs a task's container, again as often as its retries say."""
        executor = self.executors[component.executor_label]
        assert executor.HasField("container"), f"{name}: only containers are known here"
        for attempt in range(1 + task.retry_policy.max_retry_count):
            folder = self.root / name / str(attempt)
            folder.mkdir(parents=True)
            given = self.executor_input(folder, task, component, parameters, outputs)
            hook = executor.container.lifecycle.pre_cache_check
            words = [[*hook.command, *hook.args]] if hook.command and self.as_vertex else []
            words.append([*executor.container.command, *executor.container.args])
            image = executor.container.image
            if all(self.launch(image, filled(each, given), folder) == 0 for each in words):
                self.states[name] = SUCCEEDED
                return described(given, Path(given.outputs.output_file))
        self.states[name] = FAILED
        return pb.ExecutorOutput()

    def executor_input(
        self,
        folder: Path,
        task: pb.PipelineTaskSpec,
        component: pb.ComponentSpec,
        parameters: Json,
        outputs: Mapping[str, pb.ExecutorOutput],
    ) -> pb.ExecutorInput:
        """What takes the placeholder's place in the arguments."""
        given = pb.ExecutorInput()
        for key, value in parameters.items():
            json_format.ParseDict(value, given.inputs.parameter_values[key])
        for key, each in task.inputs.artifacts.items():
            source = each.task_output_artifact
            given.inputs.artifacts[key].CopyFrom(outputs[source.producer_task].artifacts[source.output_artifact_key])
        for key, each in component.output_definitions.artifacts.items():
            given.outputs.artifacts[key].artifacts.add(uri=str(folder / key), type=each.artifact_type)
        given.outputs.output_file = str(folder / "executor_output.json")
        return given


def parse(values: Any, message: Any) -> Any:
    """A message of plain values; a field that it does not have is an error."""
    return json_format.ParseDict(
        json_format.MessageToDict(values) if hasattr(values, "DESCRIPTOR") else values, message
    )


def own_of_kubernetes(documents: Sequence[Json]) -> Iterator[Json]:
    """The configuration of each executor in the second document."""
    for document in documents[1:]:
        yield from document["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()


def upstream(task: pb.PipelineTaskSpec) -> list[str]:
    """The tasks that end before one begins."""
    producers = [each.task_output_artifact.producer_task for each in task.inputs.artifacts.values()]
    return [*task.dependent_tasks, *producers]


def described(given: pb.ExecutorInput, output_file: Path) -> pb.ExecutorOutput:
    """The outputs with what the executor said of them, their types kept and named as a metadata store would."""
    said, result = pb.ExecutorOutput(), pb.ExecutorOutput()
    if output_file.exists():
        json_format.Parse(output_file.read_text(), said)
    for key, artifacts in given.outputs.artifacts.items():
        [artifact] = artifacts.artifacts
        for told in said.artifacts[key].artifacts:
            artifact.MergeFrom(told)
        artifact.name = artifact.uri
        result.artifacts[key].artifacts.append(artifact)
    return result


def filled(words: Sequence[str], given: pb.ExecutorInput) -> list[str]:
    """The words of a container with its input in the placeholder's place."""
    executor_input = json_format.MessageToJson(given, indent=None)
    return [word.replace(PLACEHOLDER, executor_input) for word in words]


def forked(image: str, words: Sequence[str], folder: Path) -> int:
    """The exit code of a command, `python -m MODULE ...`; its screen goes to log.txt beside its outputs."""
    python, switch, module, *arguments = words
    assert (python, switch) == ("python", "-m"), f"only modules are run here, not {python}"
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        (folder / "cwd").mkdir(exist_ok=True)
        os.chdir(folder / "cwd")
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def in_container(mounts: Sequence[str]) -> Launch:
    """Runs commands in containers of their image as its own user, who finds these folders and no network."""
    os.umask(0)

    def launch(image: str, words: Sequence[str], folder: Path) -> int:
        with (folder / "log.txt").open("a") as log:
            return podman.run(image, words, mounts=mounts, log=log)

    return launch


def main() -> None:
    """Runs what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spec", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--mount", action="append", default=[])
    parser.add_argument("given", nargs="*")
    words = parser.parse_args()
    if not words.mount:
        import tfx.components
        import tfx.orchestration.kubeflow.v2.file_based_example_gen.driver  # noqa: F401 - the children need them all

    given = {name: json.loads(value) for name, value in (word.split("=", 1) for word in words.given)}
    run = SpecRun(words.spec, words.root, given, in_container(words.mount) if words.mount else forked)
    run.run()
    (words.root / "states.json").write_text(json.dumps(run.states))


if __name__ == "__main__":
    main()
