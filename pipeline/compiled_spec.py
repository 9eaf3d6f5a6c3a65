"""A compiled pipeline as data: its tasks and executors by node, what TFX left out, and the file it becomes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from efficientdet.atomic_file import write_file
from efficientdet.errors import ConfigError

Engine = Literal["kubeflow", "vertex"]
# Kubeflow's client takes YAML alone, Vertex the JSON of a whole pipeline job.
SUFFIXES: dict[str, tuple[str, ...]] = {"kubeflow": (".yaml", ".yml"), "vertex": (".json",)}
# TFX's name of the group of all nodes, beside which an exit handler stands.
GROUP = "tfx-dag"

Json = dict[str, Any]


@dataclass
class CompiledSpec:
    """A PipelineJob of Kubeflow's pipeline specification 2.1, as TFX compiles it.

    job: the job, changed in place. kubernetes: per executor's label what is Kubernetes' own, which only the YAML holds.
    """

    job: Json
    kubernetes: dict[str, Json] = field(default_factory=dict)

    @property
    def spec(self) -> Json:
        """The PipelineSpec."""
        return self.job["pipelineSpec"]

    @property
    def tasks(self) -> dict[str, Json]:
        """Node id to its task, the exit handler excepted."""
        group = self.spec["components"].get(GROUP)
        return (group or self.spec["root"])["dag"]["tasks"]

    @property
    def name(self) -> str:
        """The pipeline's."""
        return self.spec["pipelineInfo"]["name"]

    @property
    def containers(self) -> dict[str, Json]:
        """Node id to the container it runs in, the exit handler included."""
        nodes = (name for name in {**self.tasks, **self.spec["root"]["dag"]["tasks"]} if name != GROUP)
        executors = self.spec["deploymentSpec"]["executors"]
        return {name: executors[self.label(name)]["container"] for name in nodes}

    def label(self, node: str) -> str:
        """The label of a node's executor."""
        task = {**self.tasks, **self.spec["root"]["dag"]["tasks"]}[node]
        return self.spec["components"][task["componentRef"]["name"]]["executorLabel"]

    @property
    def parameters(self) -> dict[str, Json]:
        """Runtime parameters by name."""
        return self.spec["root"].get("inputDefinitions", {}).get("parameters", {})

    def declare(self, names: Iterable[str]) -> None:
        """Adds texts that a run may bear for those who look at it; no node reads them."""
        parameters = self.spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
        parameters |= {name: {"parameterType": "STRING", "defaultValue": "", "isOptional": True} for name in names}

    def complete(self, defaults: Mapping[str, Any]) -> None:
        """Adds what TFX 1.16 leaves out: values of parameters that nobody gives, and their way into the group."""
        for name, parameter in self.parameters.items():
            parameter |= {"defaultValue": defaults[name], "isOptional": True}
        self.spec["defaultPipelineRoot"] = self.job["runtimeConfig"]["gcsOutputDirectory"]
        if GROUP in self.spec["components"] and self.parameters:
            kinds = {name: {"parameterType": each["parameterType"]} for name, each in self.parameters.items()}
            self.spec["components"][GROUP]["inputDefinitions"] = {"parameters": kinds}
            passed = {name: {"componentInputParameter": name} for name in kinds}
            self.spec["root"]["dag"]["tasks"][GROUP]["inputs"] = {"parameters": passed}

    def run_always(self, node: str) -> None:
        """Keeps a node out of the engine's cache."""
        self.tasks[node].pop("cachingOptions", None)

    def write(self, output: str | Path, engine: Engine) -> None:
        """Writes the file that the engine's client reads, complete or not at all; ConfigError where it cannot be."""
        check_suffix(output, engine)
        text = self.as_yaml() if engine == "kubeflow" else json.dumps(self.job, sort_keys=True, indent=1)
        try:
            write_file(output, text)
        except OSError as error:
            raise ConfigError(f"{output}: cannot be written ({error.strerror}); name another file") from error

    def as_yaml(self) -> str:
        """The specification, and as a second document what is Kubernetes' own."""
        documents: list[Json] = [self.spec]
        if self.kubernetes:
            documents.append({"platforms": {"kubernetes": {"deploymentSpec": {"executors": self.kubernetes}}}})
        text: str = yaml.safe_dump_all(documents, sort_keys=True)
        return text


def check_suffix(output: str | Path, engine: Engine) -> None:
    """Raises ConfigError for a file name that the engine's client refuses."""
    if Path(output).suffix not in SUFFIXES[engine]:
        raise ConfigError(f"{output}: {engine} reads {' or '.join(SUFFIXES[engine])} files; name the output so")
