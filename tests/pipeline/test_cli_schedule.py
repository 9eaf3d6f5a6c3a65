"""Schedules through the vendors' clients, held against the vendors' definitions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from tests.pipeline.cluster_memory import Kubeflow, Vertex
from tests.pipeline.cluster_server import ClusterServer, NotThereError, Request, kubeflow_routes, vertex_server

CRON = "30 3 * * 1-5"
BLOCK = (f"schedule.cron={CRON}", "schedule.end=2030-01-01T00:00:00+01:00", "schedule.max_concurrent=2")

Json = dict[str, Any]
Invoke = Callable[..., Result]


@pytest.fixture(params=["kubeflow", "vertex"])
def cluster(request: pytest.FixtureRequest) -> Kubeflow | Vertex:
    return {"kubeflow": Kubeflow, "vertex": Vertex}[request.param]()


@pytest.fixture
def served(
    cluster: Kubeflow | Vertex, monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> Iterator[tuple[str, ClusterServer, Invoke]]:
    """The engine, its server, and its `schedule` commands."""
    engine = type(cluster).__name__.lower()

    def invoke(command: str, *settings: str) -> Result:
        given = [f"cluster.host={server.address}", *settings] if engine == "kubeflow" else settings
        sets = [word for each in given for word in ("--set", each)]
        words = ["schedule", command, "--config", str(config_file), "--engine", engine, *sets]
        return CliRunner().invoke(main, words)

    if engine == "kubeflow":
        server = ClusterServer(kubeflow_routes(), cluster.answers)
        yield engine, server, invoke
        server.close()
    else:
        with vertex_server(cluster.answers, monkeypatch) as server:
            yield engine, server, invoke
    assert server.refused == []


def listed(invoke: Invoke) -> list[Json]:
    done = invoke("list")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_schedule_is_set_and_listed(served: tuple[str, ClusterServer, Invoke], cluster: Kubeflow | Vertex):
    engine, _, invoke = served
    assert listed(invoke) == []
    done = invoke("set", *BLOCK)
    assert done.exit_code == 0, done.output
    [shown] = listed(invoke)
    assert json.loads(done.stdout) == shown
    assert (shown["name"], shown["state"]) == ("digits", "ACTIVE")
    [sent] = cluster.schedules.values()
    if engine == "kubeflow":
        assert sent["trigger"]["cron_schedule"]["cron"] == f"0 {CRON}"
        assert sent["trigger"]["cron_schedule"]["end_time"] == "2030-01-01T00:00:00+01:00"
        assert (sent["max_concurrency"], sent["no_catchup"]) == ("1", True)
        assert sent["service_account"] == "runner@team"
        assert sent["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "digits-turn"
    else:
        assert (sent["cron"], sent["maxConcurrentRunCount"]) == (f"TZ=UTC {CRON}", "1")
        assert sent["endTime"] == "2029-12-31T23:00:00Z"
        job = sent["createPipelineJobRequest"]["pipelineJob"]
        assert job["pipelineSpec"]["pipelineInfo"]["name"] == "digits-turn"
        assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/pipelines"
        assert job["serviceAccount"] == "runner@team"
        assert job["labels"]["efficientdet_pipeline"] == "digits-turn"


def test_a_paused_schedule_is_changed_in_place_and_stays_paused(
    served: tuple[str, ClusterServer, Invoke], cluster: Kubeflow | Vertex
):
    engine, server, invoke = served
    assert invoke("set", *BLOCK).exit_code == 0
    paused = invoke("pause")
    assert paused.exit_code == 0, paused.output
    [first] = listed(invoke)
    assert first["state"] == "PAUSED"
    done = invoke("set", "schedule.cron=0 4 * * *")
    assert done.exit_code == 0, done.output
    [shown] = listed(invoke)
    assert (shown["name"], shown["state"]) == ("digits", "PAUSED")
    assert shown["since"] == first["since"]  # failures stay counted
    assert shown["cron"].endswith("0 4 * * *")
    assert invoke("resume").exit_code == 0
    [resumed] = listed(invoke)
    assert (resumed["state"], resumed["cron"]) == ("ACTIVE", shown["cron"])
    assert resumed["since"] > shown["since"]
    assert invoke("resume").exit_code == 0
    [again] = listed(invoke)
    assert (again["state"], again["since"] > resumed["since"]) == ("ACTIVE", True), "failures of an active one go too"
    if engine == "kubeflow":
        *_, before, after, _ = (asked.body for asked in server.asked("recurring_run_service_create_recurring_run"))
        assert before is not None
        assert before.pop("description") == f"failures count since {first['since']}"
        assert after == before | {"mode": "ENABLE"}
    assert invoke("delete").exit_code == 0
    assert cluster.schedules == {}


@pytest.mark.parametrize("cluster", [Vertex()], ids=["vertex"])
def test_a_schedule_that_has_ended_gets_a_successor(
    served: tuple[str, ClusterServer, Invoke], cluster: Kubeflow | Vertex
):
    _, _, invoke = served
    for _ in range(2):
        assert invoke("set", *BLOCK).exit_code == 0
        [*_, newest] = cluster.schedules.values()
        newest["state"] = "COMPLETED"
    done = invoke("set", *BLOCK)
    assert done.exit_code == 0, done.output
    assert (len(cluster.schedules), json.loads(done.stdout)["state"]) == (3, "ACTIVE")
    assert invoke("pause").exit_code == 0
    assert [each["state"] for each in cluster.schedules.values()] == ["COMPLETED", "COMPLETED", "PAUSED"]
    assert invoke("delete").exit_code == 0
    assert cluster.schedules == {}


@pytest.mark.parametrize("cluster", [Kubeflow()], ids=["kubeflow"])
@pytest.mark.parametrize("command", ["set", "resume"])
def test_a_resume_that_dies_half_way_leaves_an_active_schedule(
    served: tuple[str, ClusterServer, Invoke], cluster: Kubeflow | Vertex, command: str
):
    _, server, invoke = served
    assert [invoke(each, *BLOCK).exit_code for each in ("set", "pause")] == [0, 0]
    delete = "recurring_run_service_delete_recurring_run"

    def die(asked: Request) -> Json:
        raise NotThereError("nobody is at home")

    server.answers[delete] = die
    died = invoke("resume")
    assert (died.exit_code, "Kubeflow refuses with 404" in died.stderr) == (1, True)
    assert [each["state"] for each in listed(invoke)] == ["ACTIVE", "PAUSED"]
    server.answers[delete] = cluster.answers[delete]
    assert invoke(command, *BLOCK).exit_code == 0
    assert [each["state"] for each in listed(invoke)] == ["ACTIVE"]
    assert invoke("delete").exit_code == 0


@pytest.mark.parametrize("cluster", [Vertex()], ids=["vertex"])
@pytest.mark.parametrize("command", ["set", "resume"])
def test_all_that_go_on_are_paused_and_one_is_left(
    served: tuple[str, ClusterServer, Invoke], cluster: Kubeflow | Vertex, command: str
):
    _, _, invoke = served
    assert invoke("set", *BLOCK).exit_code == 0
    [(name, one)] = cluster.schedules.items()
    newer = f"{name}99"
    cluster.schedules[newer] = {**one, "name": newer, "createTime": cluster.now()}
    assert invoke("pause").exit_code == 0
    assert [each["state"] for each in cluster.schedules.values()] == ["PAUSED", "PAUSED"]
    assert invoke(command, *BLOCK).exit_code == 0
    assert list(cluster.schedules) == [newer]
    assert invoke("delete").exit_code == 0


def test_what_cannot_be_is_told(served: tuple[str, ClusterServer, Invoke], cluster: Kubeflow | Vertex):
    engine, _, invoke = served
    none = invoke("set")
    assert (none.exit_code, "schedule.cron is not set" in none.stderr) == (2, True)
    for command in ("pause", "resume", "delete"):
        done = invoke(command)
        assert (done.exit_code, "digits: has no schedule in" in done.stderr) == (1, True)
    past = invoke("set", *BLOCK, "schedule.end=2026-01-01T00:00:00Z")
    assert (past.exit_code, past.stderr) == (
        2,
        "error: schedule.end=2026-01-01T00:00:00+00:00 is past, no turn would be taken; give a later one, or none\n",
    )
    elsewhere = invoke("set", *BLOCK, "schedule.time_zone=Europe/Berlin")
    if engine == "kubeflow":
        assert elsewhere.exit_code == 2
        assert "Kubeflow's scheduler has one time zone for all, which cluster.time_zone says is UTC" in elsewhere.stderr
    else:
        assert elsewhere.exit_code == 0
        assert [each["cron"] for each in cluster.schedules.values()] == [f"TZ=Europe/Berlin {CRON}"]
