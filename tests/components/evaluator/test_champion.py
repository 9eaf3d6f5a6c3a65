from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from components.evaluator.champion import fetch_champion, look_up_baseline
from efficientdet.errors import RegistryError
from efficientdet.label_map import LabelMap
from efficientdet.registry import open_registry

from .conftest import LABELS


@pytest.mark.parametrize("baseline", ["", "@champion"])
def test_no_champion_yet(tmp_path: Path, baseline: str) -> None:
    registry = {"uri": str(tmp_path / "registry"), "name": "rectangles"}
    found = look_up_baseline({"baseline": baseline, "registry": json.dumps(registry)})
    assert found == ""
    assert fetch_champion(found, registry, tmp_path / "champion", LABELS) is None


def test_the_champion_is_fetched_by_number_or_alias(tmp_path: Path, bundle: Callable[..., Path]) -> None:
    registry = {"uri": str(tmp_path / "registry"), "name": "rectangles"}
    store = open_registry(registry["uri"])
    store.set_alias("rectangles", "champion", store.register(bundle(1, 2), "rectangles").version)
    for baseline in ("1", "@champion"):
        found = look_up_baseline({"baseline": baseline, "registry": json.dumps(registry)})
        assert found == "1"
        champion = fetch_champion(found, registry, tmp_path / f"fetched {baseline}", LABELS)
        assert (str(champion.version), champion.same_classes) == ("rectangles@1", True)
        assert champion.comparable(["float", "float16", "int8"]) == ["float", "int8"]
    others = fetch_champion("1", registry, tmp_path / "others", LabelMap.from_names(["red"]))
    assert (others.same_classes, others.comparable(["float", "int8"])) == (False, [])
    with pytest.raises(RegistryError, match="no version or alias '7'"):
        fetch_champion("7", registry, tmp_path / "seventh", LABELS)
