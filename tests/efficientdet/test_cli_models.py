"""What `efficientdet models` says and deletes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from efficientdet.cli import cli
from efficientdet.errors import NotRegisteredError, RegistryError
from efficientdet.registry import Registry, retention
from efficientdet.registry.mlflow_client import EXPERIMENT, Location
from efficientdet.registry.mlflow_files import PUBLISHING
from efficientdet.registry.promotion import promote

WriteBundle = Callable[[str], Path]


@pytest.fixture(scope="module")
def team(
    tmp_path_factory: pytest.TempPathFactory, write_bundle: WriteBundle, new_registry: Callable[[Path], Registry]
) -> Registry:
    """`digits` 1 to 3, where 1 was champion before 2; and `faces` 1, never promoted."""
    registry = new_registry(tmp_path_factory.mktemp("team") / "registry")
    for content in ("one", "two", "three"):
        registry.register(write_bundle(content), "digits")
    registry.register(write_bundle("face"), "faces")
    promote(registry, "digits", "1", "ann@desk", "first")
    promote(registry, "digits", "2", "bob@desk", "better at [bold] night")
    return registry


def run(registry: Registry, *arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["models", *arguments, "--registry", registry.uri])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_promotions_tell_who_when_and_why(team: Registry) -> None:
    shown = run(team, "promotions", "digits").output
    assert "ann@desk" in shown
    assert "better at [bold] night" in shown
    first, second = json.loads(run(team, "promotions", "digits", "--json").output)
    assert (first["version"], first["before"], first["by"]) == ("1", None, "ann@desk")
    assert (second["version"], second["before"], second["act"]) == ("2", "1", "promote")
    assert run(team, "promotions", "faces").output == "faces: no version was promoted yet\n"
    with pytest.raises(NotRegisteredError, match=r"there is no model 'digit'; did you mean digits\?"):
        run(team, "promotions", "digit")


def test_gc_lists_and_deletes_only_when_told(team: Registry) -> None:
    listed = run(team, "gc", "--keep", "0").output
    assert listed.splitlines()[-1].startswith("2 versions (0.0 MB) and the files of 0 publishings that died may go;")
    assert [line.split()[0] for line in listed.splitlines()[:-1]] == ["faces@1", "digits@3"]
    assert len(team.versions()) == 4
    assert "0 versions" in run(team, "gc", "--older-than", "1").output
    done = run(team, "gc", "digits", "--keep", "0", "--yes").output
    assert done.splitlines()[-1] == "1 version (0.0 MB) and the files of 0 publishings that died: deleted"
    assert [str(version) for version in team.versions()] == ["digits@2", "digits@1", "faces@1"]
    with pytest.raises(RegistryError, match="say which versions may go"):
        run(team, "gc")
    for days in ("nan", "inf", "1e300"):
        refused = run(team, "gc", "--older-than", days)
        assert (refused.exit_code, "is not in the range" in refused.output) == (2, True)


def test_gc_lists_what_a_publishing_of_this_name_left(team: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "UNFINISHED_AFTER", timedelta(0))
    client = Location.parse(team.uri).client
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    digits, faces = (client.create_run(experiment, tags={PUBLISHING: name}).info.run_id for name in ("digits", "faces"))
    listed = run(team, "gc", "digits", "--keep", "9").output
    assert listed.splitlines()[:-1] == [f"{digits}  a publishing that died"]
    done = run(team, "gc", "digits", "--keep", "9", "--yes").output
    assert done.splitlines() == [
        f"{digits}  a publishing that died",
        "0 versions (0.0 MB) and the files of 1 publishings that died: deleted",
    ]
    assert run(team, "gc", "--keep", "9").output.splitlines()[:-1] == [f"{faces}  a publishing that died"]
