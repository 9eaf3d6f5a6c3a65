"""How the Pusher works: it reads the verdicts, publishes what is blessed, and leaves a record either way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx.components.evaluator.constants import BLESSED_FILE_NAME
from tfx.dsl.components.base import base_executor
from tfx.types import Artifact, artifact_utils

from components.pusher.publication import push
from components.run_parameters import DATA_PATH, changed_fingerprint, changed_parameters
from efficientdet import blessing as blessing_file
from efficientdet import infra_blessing as infra_file
from efficientdet.atomic_file import write_json
from efficientdet.blessing import Blessing
from efficientdet.commit import code_commit
from efficientdet.errors import DataError
from efficientdet.infra_blessing import InfraBlessing

PUSHED_FILE = "pushed.json"

Artifacts = dict[str, list[Artifact]]


class Executor(base_executor.BaseExecutor):
    """Registers the bundle and moves the alias, or says why not.

    A process killed anywhere here leaves no version or a complete one; run again, the registry finds the
    complete one by its content and only the alias is still to be moved. A version that was champion and was replaced
    since stays what it is: who rolled back is not overruled by a run that is repeated.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Writes `pushed.json` and the artifact's properties; see `Pusher`.

        Raises ModelError when the label maps differ, and DataError when the blessing is damaged.
        """
        uris = {key: Path(artifact_utils.get_single_uri(artifacts)) for key, artifacts in input_dict.items()}
        judgement, infra = Blessing.load(uris["blessing"]), InfraBlessing.load(uris["infra_blessing"])
        _check_sign(uris["blessing"] / blessing_file.FILE_NAME, BLESSED_FILE_NAME, judgement.blessed)
        _check_sign(uris["infra_blessing"] / infra_file.FILE_NAME, infra_file.INFRA_BLESSED, infra.blessed)
        reasons = [*([] if judgement.blessed else judgement.reasons), *infra.reasons]
        exec_properties["tags"] = _with_origin(exec_properties["tags"], self._context)
        if judgement.blessed and infra.blessed:
            tags = as_run(exec_properties, uris["examples"])
            pushed = push(uris, judgement, json.loads(exec_properties["registry"]), tags)
        else:
            pushed = {"pushed": False, "reason": "; ".join(reasons) or "the InfraValidator had no file to run"}
        _record(pushed, artifact_utils.get_single_instance(output_dict["pushed_model"]))


def _with_origin(tags: str, context: Any) -> str:
    """The version's facts with the run and the commit that made it."""
    origin = {"run": getattr(context, "pipeline_run_id", None), "commit": code_commit()}
    return json.dumps(json.loads(tags) | {key: value for key, value in origin.items() if value})


def as_run(exec_properties: Mapping[str, Any], examples: Path) -> dict[str, str]:
    """The facts to keep with the version, of the data and the training of this very run."""
    tags, changed = json.loads(exec_properties["tags"]), changed_parameters(exec_properties, str(examples))
    if changed:
        tags |= {name: str(value) for name, value in changed.items()}
        tags["inputs"] = changed_fingerprint(tags.get("inputs", ""), changed)
    if DATA_PATH in changed:
        tags["data"] = ""  # the fingerprint is of the compiled path
    return tags


def _check_sign(record: Path, sign: str, blessed: bool) -> None:
    """Raises DataError unless TFX's empty file beside a record says what the record says."""
    if record.with_name(sign).is_file() != blessed:
        raise DataError(f"{record}: does not say what the {sign} file beside it says; evaluate the model again")


def _record(pushed: Mapping[str, Any], artifact: Artifact) -> None:
    """What happened, for people and scripts in `pushed.json`, for TFX as the artifact's properties."""
    write_json(Path(artifact.uri) / PUSHED_FILE, pushed)
    artifact.set_int_custom_property("pushed", int(pushed["pushed"]))
    for key in ("name", "version", "alias"):
        if key in pushed:
            artifact.set_string_custom_property(key, pushed[key])
