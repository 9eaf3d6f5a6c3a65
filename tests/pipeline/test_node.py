"""The ground that is prepared for TFX's entrypoint in a container."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import schemas
from pipeline import node

EXECUTOR = "tfx.components.schema_gen.import_schema_gen.executor.Executor"


def executor_input(root: str) -> str:
    """Of an ImportSchemaGen whose outputs lie below `root`."""
    schema = {"artifacts": [{"uri": f"{root}/schema", "type": {"schemaTitle": "tfx.Schema"}}]}
    return json.dumps(
        {
            "inputs": {"parameterValues": {"schema_file": schemas.path("detection.pbtxt")}},
            "outputs": {"artifacts": {"schema": schema}, "outputFile": f"{root}/executor_output.json"},
        }
    )


def run(root: str, *words: str) -> None:
    spec = json.dumps({"parameters": {"schema_file": {"parameterType": "STRING"}}})
    given = ["--executor_class_path", EXECUTOR, node.INVOCATION, executor_input(root)]
    node.main([*words, *given, "--json_serialized_inputs_spec_args", spec])


def test_a_bucket_is_read_and_written_where_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node, "MOUNTS", {"gs://": f"{tmp_path}/gcs/", "s3://": f"{tmp_path}/s3/"})
    (tmp_path / "gcs/bucket").mkdir(parents=True)
    run("gs://bucket/run")
    written = tmp_path / "gcs/bucket/run"
    assert (written / "schema/schema.pbtxt").is_file()
    output = json.loads((written / "executor_output.json").read_text())
    assert output["artifacts"]["schema"]["artifacts"][0]["uri"] == "gs://bucket/run/schema"


def test_folders_stay_as_they_are(tmp_path: Path):
    run(str(tmp_path))
    output = json.loads((tmp_path / "executor_output.json").read_text())
    assert output["artifacts"]["schema"]["artifacts"][0]["uri"] == f"{tmp_path}/schema"


def test_addresses_within_settings_are_turned_too():
    mounts = {"gs://": "/gcs/"}
    settings = json.dumps({"custom_config": json.dumps({"checkpoints": "gs://bucket/checkpoints"})})
    turned = json.loads(json.loads(node.to_folders(settings, mounts))["custom_config"])
    assert turned == {"checkpoints": "/gcs/bucket/checkpoints"}
    assert node.to_addresses('{"uri": "/gcs/bucket/a", "note": "of /gcs/x"}', mounts) == (
        '{"uri": "gs://bucket/a", "note": "of /gcs/x"}'
    )


def test_a_node_whose_secrets_nobody_may_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(SystemExit, match=r"^error: the secrets of PASSWORD cannot be read: there are no credentials"):
        node.main(["--secret=PASSWORD=projects/team/secrets/password/versions/latest"])


def test_a_node_without_secrets_changes_no_variable(tmp_path: Path):
    before = dict(os.environ)
    run(str(tmp_path))
    assert dict(os.environ) == before
