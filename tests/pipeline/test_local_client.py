"""`status` of real runs on this machine: at work, ended, failed, killed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.run_lock import only_run
from tests.pipeline.small_pipeline import WORK, run, run_killed


@pytest.fixture
def status(config, tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config.to_dict()))
    return lambda *words: CliRunner().invoke(main, ["status", "--config", str(path), *words])


def test_a_run_is_told_from_its_first_node_to_its_end(config, status, monkeypatch):
    seen: list[Result] = []
    monkeypatch.setitem(WORK, "ask", lambda: seen.extend((status("--run", "last", "--json"), status())))
    run(config, "ask")
    last, listed = seen
    assert last.exit_code == 4
    [told] = json.loads(last.stdout)
    assert (told["state"], told["node"], told["nodes"]) == ("RUNNING", "Trainer", {"Trainer": "RUNNING"})
    assert told["by"].startswith(f"process {os.getpid()} on ")
    assert 0 <= told["node_seconds"] <= told["seconds"] + 1
    assert (listed.exit_code, len(listed.stdout.splitlines())) == (0, 1)
    assert f"process {os.getpid()} on" in listed.stdout
    assert "at Trainer for" in listed.stdout

    ended = status("--run", told["id"], "--json")
    assert ended.exit_code == 0
    [after] = json.loads(ended.stdout)
    assert (after["state"], after["node"], after["outcome"]) == ("SUCCEEDED", "", "COMPLETE")
    assert after["nodes"] == {"Trainer": "SUCCEEDED", "Pusher": "SUCCEEDED"}


def test_a_failed_and_a_killed_run(config, status, monkeypatch):
    monkeypatch.setitem(WORK, "fail", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(config, "fail")
    failed = status("--run", "last")
    assert failed.exit_code == 1
    assert "FAILED" in failed.stdout
    assert "at Trainer  division by zero" in failed.stdout
    run_killed(config)
    killed = status("--run", "last", "--json")
    assert killed.exit_code == 1
    [told] = json.loads(killed.stdout)
    assert (told["state"], told["error"], told["nodes"]) == ("FAILED", "it was interrupted", {"Trainer": "FAILED"})
    assert len(status().stdout.splitlines()) == 2


def test_who_holds_the_root_is_told_before_the_first_node(config, status):
    none = status("--run", "last")
    assert (none.exit_code, none.output) == (2, "error: last: there is no run of tiny yet\n")
    assert status().stderr == "no runs\n"
    Path(config.root).mkdir()
    with only_run(Path(config.root)):
        held = status("--run", "last")
    assert held.exit_code == 4
    assert f"process {os.getpid()} on" in held.stdout
    assert "before its first node" in held.stdout


def test_an_unknown_run_and_damaged_metadata_are_told(config, status):
    unknown = status("--run", "nobody")
    assert (unknown.exit_code, "nobody: there is no such run of tiny" in unknown.output) == (2, True)
    (Path(config.root)).mkdir()
    (Path(config.root) / "metadata.db").write_bytes(b"no database" * 1000)
    damaged = status()
    assert damaged.exit_code == 1
    assert "metadata.db: is damaged" in damaged.output
