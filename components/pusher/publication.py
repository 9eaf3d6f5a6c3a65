"""A blessed bundle becomes a version of the registry, and the alias moves to it, unless another champion forbids it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.pusher.version_facts import card, documents, version_facts
from efficientdet.atomic_file import write_file
from efficientdet.blessing import Blessing
from efficientdet.errors import ModelError
from efficientdet.label_map import LabelMap
from efficientdet.model_card import FILE_NAME as CARD_FILE
from efficientdet.person import person
from efficientdet.registry import CHAMPION, ModelVersion, Registry, open_registry, rival_of
from efficientdet.registry.promotion import promote, replacement


def push(
    uris: Mapping[str, Path], judgement: Blessing, settings: Mapping[str, str], tags: Mapping[str, str]
) -> dict[str, Any]:
    """Registers the bundle in the folder `uris["model"]`, then moves the alias: the content of `pushed.json`.

    Raises ModelError when the bundle's label map is not that of the examples.
    """
    _check_label_map(uris)
    facts = version_facts(uris, judgement, tags)
    registry, alias = open_registry(settings["uri"]), settings.get("alias", CHAMPION)
    rival = registry.champion(settings["name"], rival_of(alias))
    if rival and overtaken(rival, judgement, tags):
        reason = f"{rival} became {rival_of(alias)} while this model was judged against another; run again"
        return {"pushed": False, "reason": f"{reason} to compare with it"}
    version = _register(registry, settings["name"], uris, judgement, facts)
    blessed = str(judgement.override or "blessed")
    if refusal := _point(registry, alias, version, blessed):
        return {"pushed": False, "reason": refusal}
    reason = f"{blessed}, registered in {registry.uri}"
    return {"pushed": True, "name": version.name, "version": version.version, "alias": alias, "reason": reason}


def _check_label_map(uris: Mapping[str, Path]) -> None:
    if LabelMap.load(uris["model"]).hash != LabelMap.load(uris["examples"]).hash:
        raise ModelError(
            f"{uris['model']}: its label map is not that of {uris['examples']}; train it on these examples"
        )


def overtaken(champion: ModelVersion, judgement: Blessing, tags: Mapping[str, str]) -> bool:
    """Whether the champion is another than when the model was judged, and not this very run's model already pushed."""
    return champion.version != judgement.baseline and champion.tags.get("inputs") != tags.get("inputs")


def _register(
    registry: Registry, name: str, uris: Mapping[str, Path], judgement: Blessing, facts: Mapping[str, str]
) -> ModelVersion:
    """The version, with documents and card."""
    with tempfile.TemporaryDirectory() as aside:
        written = write_file(Path(aside) / CARD_FILE, card(name, uris, judgement, facts))
        return registry.register(
            uris["model"], name, metrics=judgement.metrics, tags=facts, documents=[*documents(uris), written]
        )


def _point(registry: Registry, alias: str, version: ModelVersion, reason: str) -> str:
    """Moves the alias, a champion's on the record; or says why it stays where somebody put it."""
    if alias == CHAMPION:
        if replaced := replacement(registry, version.name, version.version):
            again = f"`efficientdet-pipeline promote {version} --reason TEXT` brings it back"
            return f"{version} was the {CHAMPION} until {replaced}; {again}"
        promote(registry, version.name, version.version, by=person(), reason=reason)
    elif CHAMPION not in version.aliases:
        registry.set_alias(version.name, alias, version.version)
    return ""
