"""The verdict can be read, by people and by the Pusher."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from efficientdet.errors import ConfigError, DataError
from efficientdet.infra_blessing import FILE_NAME, Infra, InfraBlessing, Runtime

GOOD = Runtime("int8", "PASSED", "", 4_300_000, 12.345, 15.5, 85_000_000, 1.0)
BAD = Runtime("float", "FAILED", "float: crashed with SIGSEGV (Segmentation fault)", 16_000_000)


def test_one_file_that_failed_is_enough():
    assert InfraBlessing((GOOD,), 16, 1, "a CPU").outcome == "INFRA_BLESSED"
    verdict = InfraBlessing((BAD, GOOD), 16, 1, "a CPU")
    assert (verdict.outcome, verdict.reasons) == ("INFRA_NOT_BLESSED", [BAD.reason])


def test_it_is_read_back_as_it_was(tmp_path: Path):
    verdict = InfraBlessing((BAD, GOOD), 16, 2, "a CPU, 2 cores", ("frozen_graph.pb",))
    verdict.write(tmp_path)
    assert InfraBlessing.load(tmp_path) == verdict
    content = json.loads((tmp_path / FILE_NAME).read_text())
    assert (content["outcome"], content["reasons"]) == ("INFRA_NOT_BLESSED", [BAD.reason])
    assert content["runtimes"][1]["latency_ms"] == 12.345


def test_a_record_that_contradicts_itself_or_is_none(tmp_path: Path):
    InfraBlessing((BAD,), 16, 1, "a CPU").write(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text().replace("INFRA_NOT_BLESSED", "INFRA_BLESSED"))
    with pytest.raises(DataError, match="says INFRA_BLESSED, but its files INFRA_NOT_BLESSED"):
        InfraBlessing.load(tmp_path)
    path.write_text(path.read_text().replace("FAILED", "FORGIVEN"))
    with pytest.raises(DataError, match="says INFRA_BLESSED, but its files INFRA_NOT_BLESSED"):
        InfraBlessing.load(tmp_path)


@pytest.mark.parametrize("text", ["[]", "null", '"INFRA_BLESSED"', "{}", "", "[" * 100_000])
def test_what_is_no_record_at_all(tmp_path: Path, text: str):
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(DataError, match="is no verdict of the InfraValidator"):
        InfraBlessing.load(tmp_path)


def test_a_line_for_people():
    assert str(GOOD) == "int8: 4 MB, 12.3 ms an image (p95 15.5), 85 MB of memory"
    assert str(BAD) == "float: 16 MB, did not run"


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="max_latency_ms"):
        Infra.parse({"max_latency_ms": 0})
    assert Infra().max_latency_ms is None
