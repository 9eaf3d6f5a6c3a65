"""What a schedule starts, from the container that is compiled to the run that begins, by the vendors' clients."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from efficientdet.config import Config
from pipeline.cli import main
from pipeline.cluster_run import ClusterRun
from pipeline.turn import failures_in_a_row
from tests.free_port import free_port
from tests.pipeline.cluster_memory import Kubeflow, Vertex
from tests.pipeline.cluster_server import ClusterServer, kubeflow_routes, vertex_server

Json = dict[str, Any]
# What Google's client would find by itself in a cluster.
AS_VERTEX = """
import json, sys
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
aiplatform.init(api_endpoint=sys.argv[1], api_transport="rest", credentials=AnonymousCredentials())
from pipeline.cli import main
for words in json.loads(sys.argv[2]):
    main(words, standalone_mode=False)
"""


class Team:
    """A pipeline on data that come in spans, and the cluster that has its schedule."""

    def __init__(self, config_file: Path, folder: Path, cluster: Kubeflow | Vertex, server: ClusterServer) -> None:
        self.cluster, self.server, self.data = cluster, server, folder / "data"
        self.engine = type(cluster).__name__.lower()
        self.demo = config_file.parent / "data"
        values = yaml.safe_load(config_file.read_text())
        values["source"] |= {
            "path": str(self.data),
            "splits": {split: f"{{SPAN}}/annotations/instances_{split}.json" for split in ("train", "eval")},
            "images": {split: f"{{SPAN}}/{split}" for split in ("train", "eval")},
        }
        values["cluster"] |= {"host": "http://127.0.0.1:9", "inner_host": server.address, "report_to": None}
        values["cluster"]["volumes"] = [{"claim": "images", "mount_path": "/data"}] if self.engine == "kubeflow" else []
        values["schedule"] = {"cron": "0 3 * * *", "max_failures": 2}
        self.trained = {"data_path": str(self.data), "epochs": float(Config().training.epochs)}
        self.path = folder / "spans.yaml"
        self.path.write_text(yaml.safe_dump(values))

    def bring(self, span: int | str) -> None:
        """A delivery of data."""
        shutil.copytree(self.demo, self.data / str(span))

    def without_spans(self) -> list[str]:
        """Settings by which the data have none, and the data."""
        self.bring(7)
        own = [f"source.splits.{s}=7/annotations/instances_{s}.json" for s in ("train", "eval")]
        return [*own, *(f"source.images.{s}=7/{s}" for s in ("train", "eval"))]

    def words(self, command: str, *sets: str) -> list[str]:
        host = [f"cluster.host={self.server.address}", *sets]
        return ["schedule", command, "--config", str(self.path), "--engine", self.engine, *_settings(host)]

    def invoke(self, command: str, *sets: str) -> Result:
        done = CliRunner().invoke(main, self.words(command, *sets))
        assert done.exit_code == 0, done.output
        return done

    def tick(self) -> tuple[Json, list[str]]:
        """What the cluster starts when it is time: the run, and its container's command with arguments."""
        run, spec = self.cluster.tick()
        [(task, executor)] = [(t, e) for t in spec["root"]["dag"]["tasks"].values() for e in _executors(spec)]
        own = {"{{$.pipeline_job_uuid}}": run.get("run_id"), "{{$.pipeline_job_name}}": _id(run)}
        values = {key: each["runtimeValue"]["constant"] for key, each in task["inputs"]["parameters"].items()}
        values = {key: own.get(value, value) for key, value in values.items()}
        words = [*executor["container"]["command"], *executor["container"]["args"]]
        return run, [re.sub(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}", lambda m: values[m[1]], w) for w in words]

    def turn(self) -> tuple[Json, Result]:
        """A turn, to its end."""
        run, words = self.tick()
        assert words[:3] == ["python", "-m", "pipeline"]
        done = CliRunner().invoke(main, words[3:])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        self.cluster.end(run, "SUCCEEDED" if done.exit_code == 0 else "FAILED")
        return run, done

    @property
    def trainings(self) -> list[Json]:
        """The pipeline's own runs."""
        return [run for run in self.cluster.runs if _parameters(run)]

    @property
    def state(self) -> str:
        """The schedule's."""
        return json.loads(self.invoke("list").stdout)["state"]


def _settings(sets: list[str]) -> list[str]:
    return [word for each in sets for word in ("--set", each)]


def _executors(spec: Json) -> list[Json]:
    return list(spec["deploymentSpec"]["executors"].values())


def _id(run: Json) -> str:
    return run.get("run_id") or run["name"].rpartition("/")[2]


def _parameters(run: Json) -> Json:
    config = run.get("runtime_config") or run.get("runtimeConfig") or {}
    return config.get("parameters") or config.get("parameterValues") or {}


@pytest.fixture
def kubeflow_team(config_file: Path, tmp_path: Path) -> Iterator[Team]:
    cluster = Kubeflow()
    server = ClusterServer(kubeflow_routes(), cluster.answers)
    yield Team(config_file, tmp_path, cluster, server)
    server.close()
    assert server.refused == []


@pytest.fixture
def vertex_team(config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    cluster = Vertex()
    with vertex_server(cluster.answers, monkeypatch) as server:
        yield Team(config_file, tmp_path, cluster, server)
    assert server.refused == []


@pytest.fixture(params=["kubeflow_team", "vertex_team"])
def team(request: pytest.FixtureRequest) -> Team:
    return request.getfixturevalue(request.param)


def test_a_span_is_trained_once(team: Team):
    team.invoke("set")
    team.bring(7)
    begun, done = team.turn()
    [training] = team.trainings
    assert done.stdout == f"digits: run {_id(training)} trains span 7\n"
    assert _parameters(training) == {"span": "7", "turn": _id(begun), **team.trained}
    assert "7/annotations/instances_train.json" in json.dumps(training)
    assert "{SPAN}" not in json.dumps(training)

    _, done = team.turn()
    assert f"span 7, the newest, is being trained, by run {_id(training)}; nothing is begun" in done.stdout
    team.cluster.end(training, "SUCCEEDED")
    _, done = team.turn()
    assert (done.exit_code, "was trained already" in done.stdout) == (0, True)
    assert len(team.trainings) == 1

    turns = CliRunner().invoke(main, ["status", *team.words("list")[2:], "--turns", "--json"])
    assert [run["state"] for run in json.loads(turns.stdout)] == ["SUCCEEDED"] * 3

    team.bring(8)
    team.turn()
    assert [_parameters(run)["span"] for run in team.trainings] == ["7", "8"]
    team.bring(9)
    _, done = team.turn()
    assert f"1 of its runs are on their way ({_id(team.trainings[1])}) and schedule.max_concurrent is 1" in done.stdout


def test_a_run_that_a_person_begins_counts_unless_it_is_of_other_data_or_epochs(team: Team, tmp_path: Path):
    team.invoke("set")
    team.bring(7)
    shutil.copytree(team.data, tmp_path / "other")
    for trial, begun in (["--epochs", "1"], True), (["--data-path", str(tmp_path / "other")], True), ([], False):
        done = CliRunner().invoke(main, ["submit", *team.words("set")[2:], "--name", f"trial {begun}", *trial])
        assert done.exit_code == 0, done.output
        assert _parameters(team.trainings[-1])["span"] == "7"
        team.cluster.end(team.trainings[-1], "SUCCEEDED")
        _, done = team.turn()
        assert ("trains span 7" in done.stdout) == begun
        team.cluster.end(team.trainings[-1], "FAILED" if begun else "SUCCEEDED")


def test_a_span_of_another_data_set_is_another(kubeflow_team: Team, tmp_path: Path):
    team = kubeflow_team
    team.invoke("set")
    team.bring(7)
    team.turn()
    team.cluster.end(team.trainings[0], "SUCCEEDED")
    shutil.copytree(team.data, tmp_path / "other")
    team.invoke("set", f"source.path={tmp_path / 'other'}")
    assert "trains span 7" in team.turn()[1].stdout
    assert _parameters(team.trainings[-1])["data_path"] == str(tmp_path / "other")


def test_a_turn_that_is_tried_again_begins_no_second_run(team: Team):
    team.invoke("set", *team.without_spans(), "schedule.max_concurrent=3")
    _, words = team.tick()
    for says in ("trains the data as they are now", "was begun by this turn already; nothing is begun"):
        done = CliRunner().invoke(main, words[3:])
        assert (done.exit_code, says in done.stdout, _id(team.trainings[0]) in done.stdout) == (0, True, True)
    assert len(team.trainings) == 1


def test_turns_of_ones_own_scheduler_are_limited_too(kubeflow_team: Team):
    team = kubeflow_team
    own = team.words("turn", *team.without_spans())
    assert "trains the data" in CliRunner().invoke(main, own).stdout
    assert "and schedule.max_concurrent is 1; nothing is begun" in CliRunner().invoke(main, own).stdout
    team.cluster.end(team.trainings[-1], "FAILED")
    assert "trains the data" in CliRunner().invoke(main, own).stdout
    team.cluster.end(team.trainings[-1], "FAILED")
    first, second = (_parameters(run)["turn"] for run in team.trainings)
    assert first != second
    done = CliRunner().invoke(main, own)
    assert (done.exit_code, len(team.trainings)) == (1, 2)
    assert "the last 2 runs that turns began failed (r1, r0), so none is begun; see `status`" in done.stderr
    submit = CliRunner().invoke(main, ["submit", *own[2:]])
    assert submit.exit_code == 0, submit.output
    team.cluster.end(team.trainings[-1], "SUCCEEDED")
    assert "trains the data" in CliRunner().invoke(main, own).stdout


def test_runs_that_fail_in_a_row_pause_the_schedule_until_it_is_resumed(team: Team):
    team.invoke("set")
    team.bring(7)
    for _ in range(2):
        team.turn()
        team.cluster.end(team.trainings[-1], "FAILED")
    _, done = team.turn()
    assert done.exit_code == 1
    newest, before = (_id(run) for run in team.trainings[::-1])
    assert f"digits: the last 2 runs of the schedule failed ({newest}, {before}), so it is paused" in done.stderr
    assert (team.state, len(team.trainings)) == ("PAUSED", 2)

    team.invoke("resume")
    _, done = team.turn()
    assert (done.exit_code, team.state, len(team.trainings)) == (0, "ACTIVE", 3)


def test_a_span_that_is_missing_fails_and_in_the_end_pauses(team: Team, tmp_path: Path):
    told = tmp_path / "told.json"
    team.invoke("set", f"cluster.report_to={told}")
    for _ in range(2):
        turn, done = team.turn()
        assert (done.exit_code, "there is no span for split" in done.stderr) == (1, True)
        outcome = json.loads(told.read_text())
        assert (outcome["pipeline"], outcome["run"], outcome["state"]) == ("digits-turn", _id(turn), "FAILED")
    _, done = team.turn()
    assert "the last 2 turns of the schedule failed" in done.stderr
    assert (team.state, team.trainings) == ("PAUSED", [])


def test_a_turns_own_error_is_told_before_that_of_the_webhook(kubeflow_team: Team):
    team = kubeflow_team
    closed = f"http://127.0.0.1:{free_port()}/secret-path"
    team.invoke("set", f"cluster.report_to={closed}")
    _, done = team.turn()
    assert re.fullmatch(r"error: .*there is no span.*\nnote: the webhook at 127.0.0.1 did not take.*\n", done.stderr)
    assert "secret-path" not in done.stderr


def test_failures_count_back_to_a_success_or_to_when_the_schedule_was_resumed():
    states = ["RUNNING", "FAILED", "CANCELED", "FAILED", "SUCCEEDED", "FAILED"]
    hours = range(5, -1, -1)
    runs = [
        ClusterRun(str(h), "", state, f"2026-01-01T0{h}:00:00+00:00") for h, state in zip(hours, states, strict=True)
    ]
    assert [run.id for run in failures_in_a_row(runs, "")] == ["4", "2"]
    assert [run.id for run in failures_in_a_row(runs, "2026-01-01T04:30:00+01:00")] == ["4"]
    assert failures_in_a_row([], "") == []
    nobody_says_when = ClusterRun("9", "", "FAILED", "")
    assert failures_in_a_row([nobody_says_when], "2026-01-01T04:30:00+01:00") == [nobody_says_when]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give the pipeline's --config, or its --settings, and not both"),
        (["--settings", "{"], "--settings: is no JSON"),
        (["--settings", "3"], "error: --settings: holds int, but must hold an object of settings\n"),
        (["--settings", '{"root": "r"}'], "--settings: name: is missing"),
    ],
)
def test_settings_of_a_turn_that_are_none_are_told(words: list[str], says: str):
    done = CliRunner().invoke(main, ["schedule", "turn", "--engine", "vertex", *words])
    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr


def test_a_compiled_file_is_of_the_newest_span(kubeflow_team: Team, tmp_path: Path):
    team, output = kubeflow_team, tmp_path / "compiled.yaml"
    words = ["compile", *team.words("set")[2:], "--output", str(output)]
    missing = CliRunner().invoke(main, words)
    assert (missing.exit_code, output.exists()) == (1, False)
    assert "there is no span for split" in missing.stderr
    team.bring(7)
    assert "digits of span 7 for kubeflow" in CliRunner().invoke(main, words).stdout
    assert "{SPAN}" not in output.read_text()


def test_without_spans_every_turn_trains_the_data_that_are_there(team: Team):
    team.invoke("set", *team.without_spans())
    _, done = team.turn()
    assert "trains the data as they are now" in done.stdout
    assert "span" not in _parameters(team.trainings[0])


def test_the_container_of_a_turn_does_its_work_in_a_process_of_its_own(kubeflow_team: Team, tmp_path: Path):
    team = kubeflow_team
    team.invoke("set")
    [schedule] = team.cluster.schedules.values()
    executors = schedule["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    [own] = executors.values()
    assert own["secretAsEnv"][0]["secretName"] == "mlflow"
    assert own["pvcMount"][0]["mountPath"] == "/data"
    assert "nodeSelector" not in own
    team.bring(7)
    run, (python, *words) = team.tick()
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, python) == (0, "python"), done.stderr
    [training] = team.trainings
    assert done.stdout == f"digits: run {_id(training)} trains span 7\n"
    assert _parameters(training) == {"span": "7", "turn": _id(run), **team.trained}


def test_on_vertex_standard_output_is_for_programs_alone(vertex_team: Team):
    team = vertex_team
    team.bring(7)
    submit = ["submit", *team.words("set")[2:]]
    words = json.dumps([team.words("set"), team.words("list"), submit])
    command = [sys.executable, "-c", AS_VERTEX, team.server.address, words]
    made, listed, submitted = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert json.loads(made) == json.loads(listed)
    [training] = team.trainings
    assert submitted == _id(training)
    assert _parameters(training) == {"span": "7", **team.trained}
