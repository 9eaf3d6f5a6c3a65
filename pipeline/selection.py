"""Some nodes of a pipeline instead of all: what `--from` and `--only` choose, and the run whose results they take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from efficientdet.errors import ConfigError
from pipeline.nodes import check_node

if TYPE_CHECKING:
    from tfx.dsl.components.base.base_node import BaseNode
    from tfx.orchestration.pipeline import RunOptions

    from pipeline.run_history import Run


@dataclass(frozen=True)
class Selection:
    """The nodes to run, whether or not the cache has their results; all, the cache permitting, where none is named.

    first: this one and all that need its results. only: these alone.
    """

    first: str | None = None
    only: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.first or self.only)

    def check(self, names: Iterable[str]) -> None:
        """Raises ConfigError for a name that is none of these, the names of a pipeline's nodes."""
        names = list(names)
        for name in (self.first, *self.only):
            if name is not None:
                check_node(name, names)

    def options(self, nodes: Sequence[BaseNode], history: Iterable[Run]) -> RunOptions:
        """TFX's options of such a run of a pipeline with these nodes.

        Raises:
          ConfigError: a name is no node's, or no run of `history` has the results that the chosen nodes start from.
        """
        from tfx.orchestration.pipeline import RunOptions

        by_id = {node.id: node for node in nodes}
        self.check(by_id)
        chosen = set(self.only)
        if self.first:
            chosen |= _reached({self.first}, by_id, "downstream_nodes")
        between = _reached(chosen, by_id, "downstream_nodes") & _reached(chosen, by_id, "upstream_nodes") - chosen
        if between:
            raise ConfigError(
                f"{self}: {', '.join(sorted(between))} would run too, lying between; name these as well, or run one "
                "node after the other"
            )
        needed = _reached(chosen, by_id, "upstream_nodes") - chosen
        base = next((run for run in history if run.has_done(needed)), None)
        if needed and base is None:
            raise ConfigError(
                f"{self}: no run here has finished {', '.join(sorted(needed))}, whose results are needed; "
                "run the whole pipeline first"
            )
        ends = sorted(chosen) if self.only else None
        return RunOptions(sorted(chosen), ends, base.name if base and needed else None)

    def __str__(self) -> str:
        return f"--from {self.first}" if self.first else " ".join(f"--only {name}" for name in self.only)


def _reached(start: set[str], nodes: dict[str, BaseNode], direction: str) -> set[str]:
    """The nodes of `start` and all that are reached from them."""
    found, open_ = set(start), list(start)
    while open_:
        nearer = {node.id for node in getattr(nodes[open_.pop()], direction)} - found
        found |= nearer
        open_ += nearer
    return found
