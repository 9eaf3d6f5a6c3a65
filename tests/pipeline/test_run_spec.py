"""The compiled specification is executed: the commands of its containers end where a run on this machine ends."""

from __future__ import annotations

import json
from functools import partial

import pytest

from pipeline.config import PipelineConfig
from tests.pipeline import executed_spec
from tests.pipeline.executed_spec import EVERY_TASK, Executed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def execute(coco_job, tmp_path_factory):
    """Compiles the job for an engine and runs what was written, all runs with one artifact root and one registry."""
    root = tmp_path_factory.mktemp("cluster")
    return partial(executed_spec.execute, PipelineConfig.parse(coco_job.config), root=root)


@pytest.fixture(scope="module")
def vertex(execute) -> Executed:
    return execute("vertex")


def test_every_task_of_the_specification_succeeds(vertex: Executed):
    assert vertex.states == dict.fromkeys(EVERY_TASK, "SUCCEEDED")
    outcome = json.loads(vertex.outcome.read_text())
    assert (outcome["pipeline"], outcome["state"]) == ("tiny-coco", "SUCCEEDED")


def test_its_metrics_equal_those_of_the_local_run(vertex: Executed, coco_job):
    code, local = coco_job.run()
    assert (code, local["outcome"]) == (0, "BLESSED"), local["reasons"]
    judgement = vertex.read("Evaluator/*/blessing/blessing.json")
    assert judgement["metrics"] == local["metrics"]
    assert judgement["outcome"] == "BLESSED"


def test_it_ends_with_a_registered_model(vertex: Executed, efficientdet):
    pushed = vertex.read("Pusher/*/pushed_model/pushed.json")
    assert (pushed["name"], pushed["version"], pushed["alias"]) == ("tiny", "1", "champion")
    listed = json.loads(efficientdet("models", "--registry", str(vertex.registry), "--json").stdout)
    assert [(model["name"], model["version"]) for model in listed] == [("tiny", "1")]


def test_a_run_of_other_floors_is_judged_by_them(vertex: Executed, execute):
    kubeflow = execute("kubeflow", floors='{"AP": 0.9}')
    assert set(kubeflow.states.values()) == {"SUCCEEDED"}
    judgement = kubeflow.read("Evaluator/*/blessing/blessing.json")
    assert judgement["metrics"] == vertex.read("Evaluator/*/blessing/blessing.json")["metrics"]
    assert judgement["outcome"] == "NOT_BLESSED"
    pushed = kubeflow.read("Pusher/*/pushed_model/pushed.json")
    assert not pushed["pushed"]
    assert "0.9" in pushed["reason"]


def test_a_run_that_fails_reports_so(execute):
    failed = execute("kubeflow", data_path="/nowhere")
    states = failed.states
    assert states.pop("OutcomeReporter") == "SUCCEEDED"
    assert (states.pop("CocoExampleGen"), states.pop("tfx-dag")) == ("FAILED", "FAILED")
    assert states.pop("ImportSchemaGen") == "SUCCEEDED", "it needs no data"
    assert set(states.values()) == {"SKIPPED"}
    assert "/nowhere" in next(failed.folder.glob("CocoExampleGen/*/log.txt")).read_text()
    assert json.loads(failed.outcome.read_text())["state"] == "FAILED"
