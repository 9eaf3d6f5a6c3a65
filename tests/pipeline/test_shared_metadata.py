"""Several pipelines, roots and runs in one database of a real MariaDB and a real PostgreSQL server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from efficientdet.errors import ConfigError, EfficientDetError
from pipeline.cli import main
from pipeline.config import PipelineConfig
from pipeline.metadata import Metadata
from pipeline.run_history import history
from pipeline.run_log import run_log
from pipeline.selection import Selection
from tests.free_port import free_port
from tests.pipeline.database_server import PASSWORD, SERVERS, DatabaseServer
from tests.pipeline.small_pipeline import run, run_killed


@pytest.fixture(scope="module", params=SERVERS)
def server(request) -> Iterator[DatabaseServer]:
    with SERVERS[request.param]() as running:
        yield running


@pytest.fixture(autouse=True)
def known_password(monkeypatch):
    for variable in ("PGPASSWORD", "MYSQL_PWD"):
        monkeypatch.setenv(variable, PASSWORD)


@pytest.fixture
def configured(config, server, tmp_path):
    """The configs of pipelines of this database, by name and root."""
    return lambda name, root: config.override({"name": name, "root": str(tmp_path / root), "metadata": server.uri})


def states(config: PipelineConfig) -> list[list[str]]:
    """Of the nodes, by run, the newest first."""
    return [[node.state for node in run.nodes] for run in history(config)]


def test_each_pipeline_knows_its_own_runs_and_the_second_is_cached(configured, tmp_path):
    cats, dogs = configured("cats", "a"), configured("dogs", "b")
    with run_log(cats.root) as log:
        for config in (cats, dogs, cats):
            run(config)
    assert states(cats) == [["CACHED"] * 2, ["COMPLETE"] * 2]
    assert states(dogs) == [["COMPLETE"] * 2]
    assert [run.ended for run in history(cats)] == ["SUCCEEDED"] * 2
    assert "Trainer" in log.path.read_text()
    assert not re.search(r"se.{0,3}cr.{0,3}e", log.path.read_text())

    (tmp_path / "dogs.yaml").write_text(yaml.safe_dump(dogs.to_dict()))
    listed = CliRunner().invoke(main, ["runs", "--config", str(tmp_path / "dogs.yaml"), "--json"])
    assert [run["name"] for run in json.loads(listed.stdout)] == [run.name for run in history(dogs)]


def test_what_a_killed_run_left_is_cleared_by_its_own_root_alone(configured):
    ours, theirs = configured("birds", "ours"), configured("birds", "theirs")
    run_killed(theirs)
    [left] = Path(theirs.root).glob("artifacts/Trainer/model/*")
    run(ours)
    assert states(theirs) == [["COMPLETE"] * 2, ["RUNNING"]]
    assert left.exists()
    run(theirs)
    assert not left.exists()
    assert states(theirs)[2] == ["FAILED"]
    assert [run.ended for run in history(ours)] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    assert [run.error for run in history(ours)][2] == "it was interrupted"
    assert len({run.root for run in history(ours)}) == 2


def test_chosen_nodes_start_from_results_of_their_own_root(configured):
    ours, theirs = configured("fish", "fish-ours"), configured("fish", "fish-theirs")
    run(ours, again=1)
    run(theirs, again=2)
    [pushed] = Path(ours.root).glob("artifacts/Pusher/pushed/*/weights")
    pushed.unlink()
    run(ours, again=1, selection=Selection(only=("Pusher",)))
    assert len(list(Path(ours.root).glob("artifacts/Pusher/pushed/*/weights"))) == 1
    chosen, *_ = history(ours)
    assert {node.name: node.state for node in chosen.nodes}["Pusher"] == "COMPLETE"
    nobodys = configured("fish", "fish-new")
    with pytest.raises(ConfigError, match="no run here has finished Trainer"):
        run(nobodys, again=1, selection=Selection(only=("Pusher",)))


@pytest.mark.parametrize(
    ("password", "change", "says"),
    [
        ("wrong", {}, r"does not let mlmd in, by a wrong password \((PGPASSWORD|MYSQL_PWD) is set\)"),
        (None, {}, r"does not let mlmd in, by a wrong password \((PGPASSWORD|MYSQL_PWD) is not set\)"),
        (PASSWORD, {"/team": "/nowhere"}, "has no database nowhere that mlmd may use; create it"),
        (PASSWORD, {r":\d+/": f":{free_port()}/"}, r"nobody answers there \(Connection refused\); start the server"),
    ],
    ids=["wrong-password", "no-password", "no-database", "no-server"],
)
def test_what_keeps_us_out_is_told_before_any_work(configured, monkeypatch, capfd, password, change, says):
    for variable in ("PGPASSWORD", "MYSQL_PWD"):
        monkeypatch.delenv(variable)
        if password:
            monkeypatch.setenv(variable, password)
    config = configured("cats", "c")
    for old, new in change.items():
        config = config.override({"metadata": re.sub(old, new, config.metadata)})
    with pytest.raises(EfficientDetError, match=says) as refused:
        run(config)
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert not (Path(config.root) / "artifacts").exists()
    assert capfd.readouterr().err == ""


def test_no_database_is_made_unasked(configured):
    assert Metadata.of(configured("cats", "d")).begun
    assert not Path(configured("cats", "d").root).exists()
