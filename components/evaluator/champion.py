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


def look_up_baseline(exec_properties: Mapping[str, Any]) -> str:
    """The number of the version to compare with; empty when the pipeline names none or there is none yet."""
    baseline: str = exec_properties["baseline"]
    if not baseline.startswith("@"):
        return baseline
    settings = json.loads(exec_properties["registry"])
    champion = open_registry(settings["uri"]).champion(settings["name"], baseline.removeprefix("@"))
    return champion.version if champion else ""


def fetch_champion(
    baseline: str, settings: Mapping[str, str], destination: Path, label_map: LabelMap
) -> ChampionBundle | None:
    """Copies the bundle of version `baseline` to `destination`; None when that is empty."""
    if not baseline:
        return None
    version = open_registry(settings["uri"]).fetch(settings["name"], baseline, destination)
    return ChampionBundle(version, destination, LabelMap.load(destination).hash == label_map.hash)
