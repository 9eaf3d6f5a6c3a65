"""The names of a config's nodes, in an order in which they can work, told without building them: TFX takes its time."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from efficientdet.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig

EXAMPLE_GENS = {
    "coco": "CocoExampleGen",
    "voc": "VocExampleGen",
    "csv": "CsvExampleGen",
    "yolo": "YoloExampleGen",
    "tfod": "TfodExampleGen",
}
SCHEMA_GENS = {"imported": "ImportSchemaGen", "inferred": "SchemaGen"}


def node_names(config: PipelineConfig) -> tuple[str, ...]:
    """The ids of what `create_pipeline` makes of the config."""
    checking = ("StatisticsGen", SCHEMA_GENS[config.schema_source], "ExampleValidator")
    training = ("Tuner", "Trainer") if config.tuning.trials else ("Trainer",)
    judging = ("Exporter", "Evaluator", "InfraValidator", "Pusher")
    return EXAMPLE_GENS[config.source.format], *checking, *training, *judging


def check_node(name: str, known: Iterable[str]) -> None:
    """Raises ConfigError, with the nearest name, where no node has this one."""
    known = list(known)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ";"
    raise ConfigError(f"{name}: there is no such node{hint} the nodes are {', '.join(known)}")
