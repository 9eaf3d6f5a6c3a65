"""Schedules through the vendors' clients, held against the vendors' definitions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from tests.pipeline.cluster_server import ClusterServer, NotThereError, Request, kubeflow_routes, vertex_server

CRON = "30 3 * * 1-5"
BLOCK = (f"schedule.cron={CRON}", "schedule.end=2030-01-01T00:00:00+01:00", "schedule.max_concurrent=2")

Json = dict[str, Any]
Invoke = Callable[..., Result]


class Schedules:
    """What a cluster remembers of schedules, in Kubeflow's or in Vertex AI's words."""

    def __init__(self) -> None:
        self.there: dict[str, Json] = {}
        self.made = 0

    def kubeflow(self) -> dict[str, Callable[[Request], Json]]:
        prefix = "recurring_run_service_"
        return {
            f"{prefix}create_recurring_run": self._create,
            f"{prefix}list_recurring_runs": lambda asked: {"recurringRuns": list(self.there.values())[::-1]},
            f"{prefix}disable_recurring_run": lambda asked: self._turn(asked, "DISABLED"),
            f"{prefix}enable_recurring_run": lambda asked: self._turn(asked, "ENABLED"),
            f"{prefix}delete_recurring_run": lambda asked: self.there.pop(asked.parameters["recurring_run_id"]) and {},
            "experiment_service_create_experiment": lambda asked: {"experiment_id": "e1"},
            "experiment_service_list_experiments": lambda asked: {
                "experiments": [{"experiment_id": "e1", "display_name": "efficientdet"}]
            },
        }

    def _create(self, asked: Request) -> Json:
        self.made += 1
        body = asked.body or {}
        status = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[body["mode"]]
        self.there[f"s{self.made}"] = {**body, "recurring_run_id": f"s{self.made}", "status": status}
        return self.there[f"s{self.made}"]

    def _turn(self, asked: Request, status: str) -> Json:
        self.there[asked.parameters["recurring_run_id"]]["status"] = status
        return {}

    def vertex(self) -> dict[str, Callable[[Request], Json]]:
        return {
            "CreateSchedule": self._begin,
            "ListSchedules": lambda asked: {"schedules": list(self.there.values())},
            "UpdateSchedule": self._change,
            "PauseSchedule": lambda asked: self._state(asked, "PAUSED"),
            "ResumeSchedule": lambda asked: self._state(asked, "ACTIVE"),
            "DeleteSchedule": self._delete,
            "GetSchedule": lambda asked: self._found(asked.parameters["name"]),
        }

    def _begin(self, asked: Request) -> Json:
        self.made += 1
        name = f"{asked.parameters['parent']}/schedules/{self.made}"
        self.there[name] = {**(asked.body or {}), "name": name, "state": "ACTIVE"}
        return self.there[name]

    def _found(self, name: str) -> Json:
        if name not in self.there:
            raise NotThereError(f"there is no {name}")
        return self.there[name]

    def _change(self, asked: Request) -> Json:
        body = asked.body or {}
        [name] = [each for each in self.there if each.endswith(asked.parameters["schedule_name"].rpartition("/")[2])]
        for path in asked.parameters["updateMask"].split(","):
            self.there[name][path] = body.get(path)
        return self.there[name]

    def _state(self, asked: Request, state: str) -> Json:
        assert not (asked.body or {}).get("catchUp"), "turns that were missed are made up for"
        self._found(asked.parameters["name"])["state"] = state
        return {}

    def _delete(self, asked: Request) -> Json:
        del self.there[asked.parameters["name"]]
        return {
            "name": "operations/1",
            "done": True,
            "response": {"@type": "type.googleapis.com/google.protobuf.Empty"},
        }


@pytest.fixture
def schedules() -> Schedules:
    return Schedules()


@pytest.fixture(params=["kubeflow", "vertex"])
def served(
    request: pytest.FixtureRequest, schedules: Schedules, monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> Iterator[tuple[str, ClusterServer, Invoke]]:
    """The engine, its server, and its `schedule` commands."""
    engine = request.param

    def invoke(command: str, *settings: str) -> Result:
        given = [f"cluster.host={server.address}", *settings] if engine == "kubeflow" else settings
        sets = [word for each in given for word in ("--set", each)]
        words = ["schedule", command, "--config", str(config_file), "--engine", engine, *sets]
        return CliRunner().invoke(main, words)

    if engine == "kubeflow":
        server = ClusterServer(kubeflow_routes(), schedules.kubeflow())
        yield engine, server, invoke
        server.close()
    else:
        with vertex_server(schedules.vertex(), monkeypatch) as server:
            yield engine, server, invoke
    assert server.refused == []


def listed(invoke: Invoke) -> list[Json]:
    done = invoke("list")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_schedule_is_set_and_listed(served: tuple[str, ClusterServer, Invoke], schedules: Schedules):
    engine, _, invoke = served
    assert listed(invoke) == []
    done = invoke("set", *BLOCK)
    assert done.exit_code == 0, done.output
    [shown] = listed(invoke)
    assert json.loads(done.stdout) == shown
    assert (shown["name"], shown["state"]) == ("digits", "ACTIVE")
    [sent] = schedules.there.values()
    if engine == "kubeflow":
        assert sent["trigger"]["cron_schedule"]["cron"] == f"0 {CRON}"
        assert sent["trigger"]["cron_schedule"]["end_time"] == "2030-01-01T00:00:00+01:00"
        assert (sent["max_concurrency"], sent["no_catchup"]) == ("2", True)
        assert sent["service_account"] == "runner@team"
        assert sent["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "digits"
    else:
        assert (sent["cron"], sent["maxConcurrentRunCount"]) == (f"TZ=UTC {CRON}", "2")
        assert sent["endTime"] == "2029-12-31T23:00:00Z"
        job = sent["createPipelineJobRequest"]["pipelineJob"]
        assert job["pipelineSpec"]["pipelineInfo"]["name"] == "digits"
        assert job["serviceAccount"] == "runner@team"
        assert job["labels"]["efficientdet_pipeline"] == "digits"


def test_a_paused_schedule_is_changed_in_place_and_stays_paused(
    served: tuple[str, ClusterServer, Invoke], schedules: Schedules
):
    _, _, invoke = served
    assert invoke("set", *BLOCK).exit_code == 0
    assert invoke("pause").exit_code == 0
    assert [each["state"] for each in listed(invoke)] == ["PAUSED"]
    done = invoke("set", "schedule.cron=0 4 * * *")
    assert done.exit_code == 0, done.output
    [shown] = listed(invoke)
    assert (shown["name"], shown["state"]) == ("digits", "PAUSED")
    assert shown["cron"].endswith("0 4 * * *")
    assert invoke("resume").exit_code == 0
    assert [each["state"] for each in listed(invoke)] == ["ACTIVE"]
    assert invoke("delete").exit_code == 0
    assert schedules.there == {}


def test_what_cannot_be_is_told(served: tuple[str, ClusterServer, Invoke], schedules: Schedules):
    engine, _, invoke = served
    none = invoke("set")
    assert (none.exit_code, "schedule.cron is not set" in none.stderr) == (2, True)
    for command in ("pause", "resume", "delete"):
        done = invoke(command)
        assert (done.exit_code, "digits: has no schedule in" in done.stderr) == (1, True)
    elsewhere = invoke("set", *BLOCK, "schedule.time_zone=Europe/Berlin")
    if engine == "kubeflow":
        assert elsewhere.exit_code == 2
        assert "Kubeflow's scheduler has one time zone for all, which cluster.time_zone says is UTC" in elsewhere.stderr
    else:
        assert elsewhere.exit_code == 0
        assert [each["cron"] for each in schedules.there.values()] == [f"TZ=Europe/Berlin {CRON}"]
