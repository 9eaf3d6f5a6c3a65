"""Runs are started and looked at through the vendors' clients, held against the vendors' definitions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.cluster_run import state_of
from pipeline.vertex_client import job_id
from tests.free_port import free_port
from tests.pipeline.cluster_memory import CREATED, Kubeflow, Vertex
from tests.pipeline.cluster_server import (
    ClusterServer,
    kubeflow_routes,
    vertex_server,
)

PARAMETERS = ["--data-path", "/data/span-7", "--epochs", "3", "--floors", '{"AP": 0.2}']
GIVEN = {"data_path": "/data/span-7", "epochs": 3, "floors": '{"AP": 0.2}'}

Invoke = Callable[..., Result]


def invoke(config_file: Path, engine: str, command: str, *words: str) -> Result:
    return CliRunner().invoke(main, [command, "--config", str(config_file), "--engine", engine, *words])


@pytest.fixture
def kubeflow_runs() -> Kubeflow:
    return Kubeflow()


@pytest.fixture
def kubeflow(kubeflow_runs: Kubeflow) -> Iterator[ClusterServer]:
    server = ClusterServer(kubeflow_routes(), kubeflow_runs.answers)
    yield server
    server.close()
    assert server.refused == []


@pytest.fixture
def vertex_runs() -> Vertex:
    return Vertex()


@pytest.fixture
def vertex(vertex_runs: Vertex, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterServer]:
    with vertex_server(vertex_runs.answers, monkeypatch) as server:
        yield server
    assert server.refused == []


def test_kubeflow_runs_what_is_submitted(config_file: Path, kubeflow: ClusterServer, kubeflow_runs: Kubeflow):
    host = ("--set", f"cluster.host={kubeflow.address}")
    done = invoke(config_file, "kubeflow", "submit", *host, *PARAMETERS, "--name", "digits monday")
    assert done.exit_code == 0, done.output
    assert done.stdout == "r0\n"
    [asked] = kubeflow.asked("run_service_create_run")
    assert asked.body is not None
    assert asked.body["display_name"] == "digits monday"
    assert asked.body["service_account"] == "runner@team"
    assert asked.body["runtime_config"] == {"parameters": GIVEN, "pipeline_root": "gs://bucket/pipelines"}
    sent = asked.body["pipeline_spec"]
    assert sent["pipeline_spec"]["pipelineInfo"]["name"] == "digits"
    group = sent["pipeline_spec"]["components"].get("tfx-dag", sent["pipeline_spec"]["root"])
    cached = {name for name, task in group["dag"]["tasks"].items() if task.get("cachingOptions")}
    assert cached >= {"StatisticsGen", "Trainer"}
    assert not [name for name in cached if name.endswith("ExampleGen")], "data of another path may be new at any time"
    own = sent["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert own["Trainer_executor"]["secretAsEnv"][0]["secretName"] == "mlflow"
    assert kubeflow_runs.experiments[0]["namespace"] == "vision"


def test_kubeflow_tells_how_runs_are(config_file: Path, kubeflow: ClusterServer, kubeflow_runs: Kubeflow):
    host = ("--set", f"cluster.host={kubeflow.address}")
    assert invoke(config_file, "kubeflow", "status", *host).stderr == "no runs\n"
    for pipeline, name in (("digits", "one"), ("digits-night", "digits night"), ("digits", "digits two")):
        words = ("--set", f"name={pipeline}", "--name", name)
        assert invoke(config_file, "kubeflow", "submit", *host, *words).exit_code == 0
    for _ in range(250):  # more than two pages
        kubeflow_runs.begin({"display_name": "digits", "pipeline_spec": {"pipelineInfo": {"name": "digits-night"}}})
    kubeflow_runs.begin({"display_name": "digits three"})  # of an uploaded file
    listed = invoke(config_file, "kubeflow", "status", *host, "--json")
    assert [run["name"] for run in json.loads(listed.stdout)] == ["digits three", "digits two", "one"]
    assert len(invoke(config_file, "kubeflow", "status", *host, "--limit", "2").stdout.splitlines()) == 2
    assert invoke(config_file, "kubeflow", "status", *host, "--run", "r0").exit_code == 4
    newest = invoke(config_file, "kubeflow", "status", *host, "--run", "last")
    assert (newest.exit_code, "digits three" in newest.stdout) == (4, True)
    kubeflow_runs.runs[0] |= {"state": "FAILED", "error": {"code": 9, "message": "out of memory"}}
    failed = invoke(config_file, "kubeflow", "status", *host, "--run", "r0")
    assert failed.exit_code == 1
    assert "out of memory" in failed.stdout
    assert "Trainer" in failed.stdout
    kubeflow_runs.runs[0]["state"] = "SUCCEEDED"
    assert invoke(config_file, "kubeflow", "status", *host, "--run", "r0").exit_code == 0
    missing = invoke(config_file, "kubeflow", "status", *host, "--run", "r999")
    assert missing.exit_code == 1
    assert "there is no r999" in missing.stderr


def test_vertex_runs_what_is_submitted(config_file: Path, vertex: ClusterServer):
    done = invoke(config_file, "vertex", "submit", *PARAMETERS, "--name", "digits monday", "--no-cache")
    assert done.exit_code == 0, done.output
    assert done.stdout == "digits-monday\n"
    [asked] = vertex.asked("CreatePipelineJob")
    assert asked.body is not None
    assert asked.parameters["parent"] == "projects/team/locations/europe-west4"
    assert asked.body["serviceAccount"] == "runner@team"
    assert asked.body["labels"]["efficientdet_pipeline"] == "digits"
    assert asked.body["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/pipelines"
    assert asked.body["runtimeConfig"]["parameterValues"] == GIVEN
    assert '"enableCache": true' not in json.dumps(asked.body["pipelineSpec"])
    command = asked.body["pipelineSpec"]["deploymentSpec"]["executors"]["Pusher_executor"]["container"]["command"]
    assert command[-1] == "--secret=MLFLOW_TRACKING_PASSWORD=projects/team/secrets/password/versions/latest"


def test_vertex_tells_how_runs_are(config_file: Path, vertex: ClusterServer, vertex_runs: Vertex):
    assert invoke(config_file, "vertex", "submit", "--name", "digits one").exit_code == 0
    listed = invoke(config_file, "vertex", "status", "--json")
    [run] = json.loads(listed.stdout)
    assert (run["id"], run["name"], run["state"]) == ("digits-one", "digits one", "RUNNING")
    assert run["created"] == CREATED
    [asked] = vertex.asked("ListPipelineJobs")
    assert asked.parameters["filter"] == 'labels.efficientdet_pipeline="digits"'
    assert invoke(config_file, "vertex", "status", "--run", "digits-one").exit_code == 4
    vertex_runs.runs[0] |= {"state": "PIPELINE_STATE_FAILED", "error": {"code": 9, "message": "no quota"}}
    failed = invoke(config_file, "vertex", "status", "--run", "digits-one")
    assert failed.exit_code == 1
    assert "no quota" in failed.stdout
    for run, said in (("none", "Vertex AI refuses"), ("digits one", "is not a valid resource id")):
        missing = invoke(config_file, "vertex", "status", "--run", run)
        assert missing.exit_code == 1
        assert said in missing.stderr
        assert missing.stderr.count("\n") == 1


def test_nothing_is_sent_for_floors_that_are_none(config_file: Path):
    for floors, says in (("AP=0.4", "is no JSON"), ('{"AB": 0.4}', "'AB' is no number of COCO")):
        done = invoke(config_file, "kubeflow", "submit", "--floors", floors)
        assert done.exit_code == 2
        assert says in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--epochs", "nan"], "is not in the range"),
        (["--epochs", "inf"], "is not in the range"),
        (["--data-path", ""], "--data-path '': nodes have another working directory"),
        (["--data-path", "data/7"], "--data-path 'data/7': nodes have another working directory"),
    ],
)
def test_nothing_is_sent_that_means_nothing_there(config_file: Path, words: list[str], says: str):
    done = invoke(config_file, "kubeflow", "submit", *words)
    assert (done.exit_code, says in done.stderr) == (2, True)


def test_a_file_that_cannot_be_written_is_told(config_file: Path):
    done = invoke(config_file, "vertex", "compile", "--output", "/dev/null/digits.json")
    assert (done.exit_code, done.stderr) == (
        2,
        "error: /dev/null/digits.json: cannot be written (File exists); name another file\n",
    )


def test_the_folders_that_nodes_must_find_are_those_of_the_run(config_file: Path, kubeflow: ClusterServer):
    host = ("--set", f"cluster.host={kubeflow.address}", "--set", "registry.uri=sqlite:////kept/registry.db")
    done = invoke(config_file, "kubeflow", "submit", *host, "--data-path", "/kept/other")
    assert [line.split()[5] for line in done.stderr.splitlines()] == ["/kept/other", "/kept/registry.db"]


def test_data_that_the_workers_of_dataflow_do_not_have_are_refused(config_file: Path):
    args = "[--project=team, --region=europe-west4, --temp_location=gs://bucket/temp]"
    beam = ("--set", "beam.runner=DataflowRunner", "--set", f"beam.args={args}", "--set", "cluster.root=/mnt/root")
    done = invoke(config_file, "kubeflow", "submit", *beam, "--data-path", "gs://images/7")
    assert (done.exit_code, "error: --data-path=gs://images/7: nodes see a bucket" in done.stderr) == (2, True)


def test_a_node_shows_kubeflow_the_token_that_it_has(
    config_file: Path, kubeflow: ClusterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "token").write_text("of the pod")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert invoke(config_file, "kubeflow", "status", "--set", f"cluster.host={kubeflow.address}").exit_code == 0
    assert kubeflow.callers == {"Bearer of the pod"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a" * 124, "--name: has 124 characters, give 123 at most"),
        ("Ü ü", "--name 'Ü ü': the run's id is made of it; give one with letters a-z or digits"),
        ("a\nb", "--name 'a\\nb': the run's id is made of it"),
    ],
)
def test_names_that_no_engine_takes_are_refused_before_the_config_is_read(name: str, says: str):
    done = invoke(Path("/nowhere.yaml"), "vertex", "submit", "--name", name)
    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr


def test_what_googles_client_does_not_take_is_a_sentence(config_file: Path, vertex: ClusterServer):
    done = invoke(config_file, "vertex", "submit", "--set", "cluster.region=nowhere")
    assert done.exit_code == 1
    assert "error: project team in nowhere: Google's client refuses: Unsupported region" in done.stderr


def test_a_cluster_that_is_not_named_or_not_there_is_told(config_file: Path):
    unnamed = invoke(config_file, "kubeflow", "status")
    assert unnamed.exit_code == 2
    assert "cluster.host is not set; name the address" in unnamed.stderr
    gone = invoke(config_file, "kubeflow", "status", "--set", f"cluster.host=http://127.0.0.1:{free_port()}")
    assert gone.exit_code == 1
    assert "Kubeflow does not answer" in gone.stderr
    unnamed = invoke(config_file, "vertex", "status", "--set", "cluster.project=null")
    assert "cluster.project is not set" in unnamed.stderr


LOGIN = b"<html>\n <body>Please log in</body></html>"


@pytest.mark.parametrize(
    "command", [["status"], ["status", "--run", "r0"], ["schedule", "list"], ["schedule", "pause"]]
)
@pytest.mark.parametrize("answer", [LOGIN, b"null", b"[]", b""])
def test_what_is_not_kubeflow_is_told(config_file: Path, kubeflow: ClusterServer, answer: bytes, command: list[str]):
    kubeflow.instead = answer
    options = ["--config", str(config_file), "--engine", "kubeflow", "--set", f"cluster.host={kubeflow.address}"]
    done = CliRunner().invoke(main, [*command, *options])
    kubeflow.refused.clear()
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"error: {kubeflow.address}: what answers is not Kubeflow's API ({' '.join(answer.decode().split())!r}" in (
        done.stderr
    )
    assert done.stderr.count("\n") == 1


def test_answers_without_an_id_are_none(config_file: Path, kubeflow: ClusterServer):
    kubeflow.instead = b'{"experiments": [{"display_name": "efficientdet"}], "recurringRuns": [{}], "runs": [{}]}'
    done = invoke(config_file, "kubeflow", "status", "--set", f"cluster.host={kubeflow.address}")
    kubeflow.refused.clear()
    assert (done.exit_code, "there is no experiment_id in its answer; check cluster.host" in done.stderr) == (1, True)
    kubeflow.instead = b'{"experiments": [{"experiment_id": "e"}], "runs": [{"display_name": "digits"}]}'
    for command in ("status", "submit"):
        done = invoke(config_file, "kubeflow", command, "--set", f"cluster.host={kubeflow.address}")
        assert (done.exit_code, done.stdout, "there is no run_id" in done.stderr) == (1, "", True), done.output


@pytest.mark.parametrize("host", ["http://bad host", "http://[::1", "http://127.0.0.1:99999"])
def test_an_address_that_is_none_is_told(config_file: Path, host: str):
    done = invoke(config_file, "kubeflow", "status", "--set", f"cluster.host={host}")
    assert (done.exit_code, f"error: {host}: Kubeflow" in done.stderr) == (1, True), done.output
    assert "check cluster.host" in done.stderr


@pytest.mark.parametrize("answer", [LOGIN, b"", b"null"])
def test_what_is_not_vertex_is_told(config_file: Path, vertex: ClusterServer, answer: bytes):
    vertex.instead = answer
    done = invoke(config_file, "vertex", "status")
    vertex.refused.clear()
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error: project team in europe-west4: what answers is not Vertex AI (" in done.stderr, done.output


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Digits 2026-01-02 03-04-05", "digits-2026-01-02-03-04-05"), ("7 Ü", "run-7"), ("a" * 200, "a" * 128)],
)
def test_vertex_takes_every_name(name: str, expected: str):
    assert job_id(name) == expected


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PIPELINE_STATE_SUCCEEDED", "SUCCEEDED"),
        ("CANCELED", "CANCELED"),
        ("PIPELINE_STATE_CANCELLED", "CANCELED"),
        ("PENDING", "RUNNING"),
        (None, "RUNNING"),
    ],
)
def test_states_have_one_word_for_both_engines(word: str | None, state: str):
    assert state_of(word) == state
