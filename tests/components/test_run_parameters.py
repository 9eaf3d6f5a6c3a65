"""A node tells whether a run set something anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from components.evaluator.executor import read_bounds
from components.pusher.executor import as_run
from components.run_parameters import changed_fingerprint, changed_parameters, examples_digest
from efficientdet.errors import ConfigError

COMPILED = {"compiled": json.dumps({"data_path": "/data/a", "epochs": 16.0, "data": "d00"})}
UNREAD = {"compiled": json.dumps({"data_path": "gs://a", "epochs": 16.0, "data": ""})}


@pytest.fixture
def examples(tmp_path: Path) -> str:
    """A folder of shards."""
    for split in ("train", "eval"):
        (tmp_path / f"Split-{split}").mkdir()
        (tmp_path / f"Split-{split}/data-0-of-1.gz").write_bytes(split.encode())
    return str(tmp_path)


def test_what_is_as_compiled_changes_nothing():
    assert changed_parameters({"data_path": "/data/a", "epochs": 16.0, **COMPILED}, "none") == {}
    assert changed_parameters({}, "none") == {}, "a run on this machine has no parameters"
    assert changed_fingerprint("f00", {}) == "f00"


def test_what_is_not_makes_another_fingerprint(examples: str):
    assert changed_parameters({"data_path": "/data/a", "epochs": 3.0, **COMPILED}, "none") == {"epochs": 3.0}
    changed = changed_parameters({"data_path": "/data/b", "epochs": 16.0, **COMPILED}, examples)
    assert changed == {"data_path": "/data/b", "examples": examples_digest(examples)}
    assert len({changed_fingerprint("f00", {}), *(changed_fingerprint("f00", {"epochs": n}) for n in (1.0, 2.0))}) == 3


def test_data_that_nobody_read_when_compiling_are_told_by_their_examples(examples: str):
    as_compiled = {"data_path": "gs://a", "epochs": 16.0, **UNREAD}
    before = changed_parameters(as_compiled, examples)
    assert before == {"examples": examples_digest(examples)}
    elsewhere = shutil.copytree(examples, Path(examples).with_name("elsewhere"))
    assert changed_parameters(as_compiled, str(elsewhere)) == before, "the same content is the same training"
    (elsewhere / "Split-train/data-0-of-1.gz").write_bytes(b"TRAIN")
    assert changed_parameters(as_compiled, str(elsewhere)) != before
    shutil.copytree(examples, elsewhere, dirs_exist_ok=True)
    (elsewhere / "Split-train/data-0-of-1.gz").rename(elsewhere / "Split-eval/data-0-of-1.gz")
    assert changed_parameters(as_compiled, str(elsewhere)) != before


def test_the_version_remembers_what_it_was_trained_on(examples: str):
    tags = {"tags": json.dumps({"inputs": "f00", "data": "d00", "license": "MIT"})}
    as_compiled = {"data_path": "/data/a", "epochs": 16.0, **COMPILED, **tags}
    assert as_run(as_compiled, Path(examples)) == json.loads(tags["tags"])
    other = as_run(as_compiled | {"data_path": "/data/b"}, Path(examples))
    assert (other["data"], other["data_path"], other["license"]) == ("", "/data/b", "MIT")
    assert other["examples"] == examples_digest(examples)
    assert other["inputs"] not in ("f00", "")


def test_floors_of_a_run_take_the_place_of_the_compiled():
    bounds = {"bounds": json.dumps({"floors": {"AP": 0.3}, "max_champion_drop": 0.1})}
    assert read_bounds(bounds).floors == {"AP": 0.3}
    given = read_bounds(bounds | {"floors": '{"AP50": 0.5}'})
    assert (given.floors, given.max_champion_drop) == ({"AP50": 0.5}, 0.1)
    with pytest.raises(ConfigError, match=r"floors='AP=1': is no JSON .*; give floors as"):
        read_bounds(bounds | {"floors": "AP=1"})
    with pytest.raises(ConfigError, match="is no number of COCO"):
        read_bounds(bounds | {"floors": '{"AB": 1}'})
