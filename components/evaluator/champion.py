"""The registry's champion, fetched to be scored on the candidate's images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from efficientdet.bundle import variants
from efficientdet.label_map import LabelMap
from efficientdet.registry import ModelVersion, open_registry


class ChampionBundle(NamedTuple):
    """The champion's `version`, the `folder` its bundle was copied to, and whether it knows these very classes."""

    version: ModelVersion
    folder: Path
    same_classes: bool

    def comparable(self, files: Iterable[str]) -> list[str]:
        """Those of a candidate's files that the champion ships too; none where the classes differ."""
        own = variants(self.folder)
        return [name for name in files if name in own and self.same_classes]


def fetch_champion(exec_properties: Mapping[str, Any], destination: Path, label_map: LabelMap) -> ChampionBundle | None:
    """Copies the bundle to compare with to `destination`; None when the pipeline names none or there is none yet."""
    baseline, settings = exec_properties["baseline"], json.loads(exec_properties["registry"])
    if not baseline:
        return None
    registry = open_registry(settings["uri"])
    if baseline.startswith("@"):
        champion = registry.champion(settings["name"], baseline.removeprefix("@"))
        if champion is None:
            return None
        baseline = champion.version
    version = registry.fetch(settings["name"], baseline, destination)
    return ChampionBundle(version, destination, LabelMap.load(destination).hash == label_map.hash)
