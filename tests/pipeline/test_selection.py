"""Which nodes are run, and on whose results, with the real nodes of a pipeline."""

from __future__ import annotations

import pytest

from efficientdet.errors import ConfigError
from pipeline.pipeline import create_pipeline
from pipeline.run_history import NodeRun, Run
from pipeline.selection import Selection

BEHIND = ["Evaluator", "Exporter", "InfraValidator", "Pusher"]


@pytest.fixture
def nodes(config):
    return create_pipeline(config, config.root, "data", "").components


def run(number: int, nodes, end: int | None = None, state: str = "COMPLETE") -> Run:
    """A run that came so far; its last node ended in `state`."""
    names = [node.id for node in nodes][:end]
    states = ["CACHED"] * (len(names) - 1) + [state]
    return Run(number, f"run-{number}", "", tuple(NodeRun(*pair, 1.0) for pair in zip(names, states, strict=True)))


def test_without_names_there_is_no_selection():
    assert not Selection()
    assert Selection("Trainer")
    assert Selection(only=("Trainer",))


def test_from_a_node_means_all_behind_it(nodes):
    options = Selection("Exporter").options(nodes, [run(2, nodes), run(1, nodes)])
    assert (options.from_nodes, options.to_nodes, options.base_pipeline_run_id) == (BEHIND, None, "run-2")


def test_only_means_these_alone(nodes):
    options = Selection(only=("Trainer", "Exporter")).options(nodes, [run(1, nodes)])
    assert options.from_nodes == options.to_nodes == ["Exporter", "Trainer"]


def test_what_lies_between_is_not_run_unasked(nodes):
    with pytest.raises(ConfigError, match=r"--only StatisticsGen --only Exporter: ExampleValidator, Trainer would run"):
        Selection(only=("StatisticsGen", "Exporter")).options(nodes, [run(1, nodes)])


def test_the_base_is_the_newest_run_with_all_that_is_needed(nodes):
    trainer = [node.id for node in nodes].index("Trainer") + 1
    history = [run(3, nodes, trainer, "FAILED"), run(2, nodes, trainer), run(1, nodes)]
    assert Selection("Exporter").options(nodes, history).base_pipeline_run_id == "run-2"
    assert Selection("Pusher").options(nodes, history).base_pipeline_run_id == "run-1"
    assert Selection(only=("VocExampleGen",)).options(nodes, []).base_pipeline_run_id is None


def test_without_such_a_run_the_missing_nodes_are_named(nodes):
    with pytest.raises(
        ConfigError, match=r"--from Evaluator: no run here has finished ExampleValidator, .* VocExampleGen"
    ):
        Selection("Evaluator").options(nodes, [run(1, nodes, 2)])


@pytest.mark.parametrize("selection", [Selection("Trianer"), Selection(only=("Exporter", "Trianer"))])
def test_an_unknown_node_is_answered_with_the_nearest(nodes, selection):
    with pytest.raises(
        ConfigError, match=r"Trianer: there is no such node; did you mean Trainer\? the nodes are Import"
    ):
        selection.options(nodes, [])
