"""A node tells whether a run set something anew."""

from __future__ import annotations

import json

import pytest

from components.evaluator.executor import read_bounds
from components.pusher.executor import as_run
from components.run_parameters import changed_fingerprint, changed_parameters
from efficientdet.errors import ConfigError

COMPILED = {"compiled": json.dumps({"data_path": "/data/a", "epochs": 16.0})}


def test_what_is_as_compiled_changes_nothing():
    assert changed_parameters({"data_path": "/data/a", "epochs": 16.0, **COMPILED}) == {}
    assert changed_parameters({}) == {}, "a run on this machine has no parameters"
    assert changed_fingerprint("f00", {}) == "f00"


def test_what_is_not_makes_another_fingerprint():
    changed = changed_parameters({"data_path": "/data/b", "epochs": 16.0, **COMPILED})
    assert changed == {"data_path": "/data/b"}
    assert len({changed_fingerprint("f00", {}), *(changed_fingerprint("f00", {"epochs": n}) for n in (1.0, 2.0))}) == 3


def test_the_version_remembers_what_it_was_trained_on():
    tags = {"tags": json.dumps({"inputs": "f00", "data": "d00", "license": "MIT"})}
    as_compiled = {"data_path": "/data/a", "epochs": 16.0, **COMPILED, **tags}
    assert as_run(as_compiled) == json.loads(tags["tags"])
    other = as_run(as_compiled | {"data_path": "/data/b"})
    assert (other["data"], other["data_path"], other["license"]) == ("", "/data/b", "MIT")
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
