"""The Pusher's ports."""

from __future__ import annotations

import json

from tfx.types import Channel, standard_artifacts

from components.pusher import Pusher


def test_the_node_declares_what_the_executor_reads() -> None:
    node = Pusher(
        model=Channel(type=standard_artifacts.Model),
        blessing=Channel(type=standard_artifacts.ModelBlessing),
        infra_blessing=Channel(type=standard_artifacts.InfraBlessing),
        evaluation=Channel(type=standard_artifacts.ModelEvaluation),
        examples=Channel(type=standard_artifacts.Examples),
        registry={"uri": "runs/registry", "name": "pets", "alias": "beta"},
        tags={"data": "f00"},
        fingerprint="abc",
        statistics=Channel(type=standard_artifacts.ExampleStatistics),
    )
    assert set(node.inputs) == {"model", "blessing", "infra_blessing", "evaluation", "examples", "statistics"}
    assert node.outputs["pushed_model"].type is standard_artifacts.PushedModel
    assert json.loads(node.exec_properties["registry"])["alias"] == "beta"
    assert node.exec_properties["fingerprint"] == "abc"
