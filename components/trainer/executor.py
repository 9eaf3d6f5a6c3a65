"""How the Trainer runs: TFX's executor, after the parameters of this run took the place of the compiled ones."""

from __future__ import annotations

from typing import Any

from tfx.components.trainer.executor import GenericExecutor
from tfx.types import Artifact
from tfx.types.standard_component_specs import CUSTOM_CONFIG_KEY, EXAMPLES_KEY
from tfx.utils import json_utils

from components.run_parameters import EPOCHS, changed_fingerprint, changed_parameters
from efficientdet.config import Config

Artifacts = dict[str, list[Artifact]]


class Executor(GenericExecutor):
    """Calls `training.run_fn` on this machine."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Fills `model` and `model_run`; see `Trainer`."""
        [examples] = input_dict[EXAMPLES_KEY]
        super().Do(input_dict, output_dict, as_run(exec_properties, examples.uri))


def as_run(exec_properties: dict[str, Any], examples: str) -> dict[str, Any]:
    """The properties with the config of this run, and with checkpoints of its own where it is not the compiled one."""
    changed = changed_parameters(exec_properties, examples)
    if not changed:
        return exec_properties
    settings = json_utils.loads(exec_properties[CUSTOM_CONFIG_KEY])
    config = Config.parse(settings["config"], source="Trainer")
    if EPOCHS in changed:
        config = config.override({"training": {"epochs": changed[EPOCHS]}})
    fingerprint = changed_fingerprint(settings["fingerprint"], changed)
    settings |= {
        "config": config.to_dict(),
        "checkpoints": f"{settings['checkpoints']}/{fingerprint}",
        "fingerprint": fingerprint,
    }
    return exec_properties | {CUSTOM_CONFIG_KEY: json_utils.dumps(settings)}
