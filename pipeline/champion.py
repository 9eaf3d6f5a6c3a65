"""What the registry knows of this pipeline: whom to compare with, and what it has lost."""

from __future__ import annotations

import json
from pathlib import Path

from efficientdet.registry import open_registry, rival_of
from pipeline.config import PipelineConfig


def resolve_baseline(config: PipelineConfig, inputs: str) -> str:
    """The registry version to compare with: the champion, or nothing when there is none yet.

    A model is never its own baseline: when the champion came from the very same inputs, it is what the
    champion itself was compared with. So an unchanged run stays cached after its model became champion.
    """
    registry = open_registry(config.registry.uri)
    champion = registry.champion(config.registry.name, rival_of(config.registry.alias))
    if champion is None:
        return ""
    if champion.tags.get("inputs") == inputs:
        return champion.tags.get("baseline", "")
    return champion.version


def lost_pushes(config: PipelineConfig) -> str:
    """Ids of local pushes whose version the registry no longer holds; empty when all are there.

    Part of the Pusher's cache key: a cached push into a registry that was deleted would be a lie.
    """
    pushes = sorted(Path(config.root).glob("artifacts/Pusher/pushed_model/*/pushed.json"))
    if not pushes:
        return ""
    held = {version.version for version in open_registry(config.registry.uri).versions(config.registry.name)}
    lost = [path.parent.name for path in pushes if _version(path, config.registry.name) not in (None, *held)]
    return ",".join(lost)


def _version(path: Path, name: str) -> str | None:
    """The version a push made of this model; None when it made none."""
    pushed = json.loads(path.read_text(encoding="utf-8"))
    return pushed["version"] if pushed["pushed"] and pushed["name"] == name else None
