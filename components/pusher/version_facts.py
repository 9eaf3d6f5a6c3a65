"""What is known of a model when it is registered: facts, documents, and a card for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from efficientdet import blessing as blessing_file
from efficientdet import config as config_file
from efficientdet import infra_blessing as infra_file
from efficientdet import split_identity
from efficientdet.best_threshold import FILE_NAME as THRESHOLDS_FILE
from efficientdet.best_threshold import TAG as THRESHOLDS_TAG
from efficientdet.blessing import Blessing
from efficientdet.config import Config
from efficientdet.data import ledger as ledger_file
from efficientdet.data import profile as profile_file
from efficientdet.label_map import LabelMap
from efficientdet.model_card import Facts as CardFacts
from efficientdet.model_card import model_card
from efficientdet.registry import DOCUMENTS_FOLDER
from efficientdet.report.page import FILE_NAME as REPORT_FILE

METRICS_FILE = "metrics.json"


def version_facts(uris: Mapping[str, Path], judgement: Blessing, tags: Mapping[str, str]) -> dict[str, str]:
    """The facts of the model in `uris["model"]` and of its verdict, with those of the run, `tags`."""
    facts = {
        "architecture": Config.load(uris["model"] / config_file.FILE_NAME).model.name,
        "label_map": LabelMap.load(uris["model"]).hash,
        "blessing": judgement.outcome,
        "baseline": judgement.baseline,
        "champion": judgement.champion,
        "split": judgement.split,
        split_identity.TAG: judgement.split_identity,
        "images": f"{judgement.images_scored} of {judgement.images_total}",
    }
    if judgement.override:
        facts["override"] = str(judgement.override)
    if "statistics" in uris:
        facts[profile_file.TAG] = f"{DOCUMENTS_FOLDER}/{profile_file.FILE_NAME}"
    if (uris["evaluation"] / THRESHOLDS_FILE).is_file():
        facts[THRESHOLDS_TAG] = f"{DOCUMENTS_FOLDER}/{THRESHOLDS_FILE}"
    return facts | dict(tags)


def documents(uris: Mapping[str, Path]) -> list[Path]:
    """The files of other nodes that are kept beside the bundle, as far as they are there."""
    beside = [uris["blessing"] / blessing_file.FILE_NAME, uris["infra_blessing"] / infra_file.FILE_NAME]
    beside += [uris["evaluation"] / name for name in (METRICS_FILE, REPORT_FILE, THRESHOLDS_FILE)]
    beside.append(uris["examples"] / ledger_file.FILE_NAME)
    if "statistics" in uris:
        beside.append(uris["statistics"] / profile_file.FILE_NAME)
    return [path for path in beside if path.is_file()]


def card(name: str, uris: Mapping[str, Path], judgement: Blessing, facts: Mapping[str, str]) -> str:
    """The model's card, in Markdown."""
    config, thresholds = Config.load(uris["model"] / config_file.FILE_NAME), uris["evaluation"] / THRESHOLDS_FILE
    best = json.loads(thresholds.read_text(encoding="utf-8")) if thresholds.is_file() else {}
    boxes: dict[str, Mapping[str, int]] = {}
    if "statistics" in uris:
        splits = profile_file.load(uris["statistics"] / profile_file.FILE_NAME)
        boxes = {split: profile.classes for split, profile in splits.items()}
    return model_card(CardFacts(name, config, LabelMap.load(uris["model"]), judgement, best, facts, boxes))
