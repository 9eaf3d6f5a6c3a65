"""What an evaluation has found, read back from its folder: the evidence that a model is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from components.evaluator.champion import ChampionBundle
from components.evaluator.eval_config import BASELINE, CANDIDATE
from components.evaluator.metrics import IMAGES
from components.evaluator.record import SCORED_FOLDER, read_unscored
from components.evaluator.results import Slice, read_metrics, read_slices
from efficientdet.blessing import CLASS_METRICS, Champion, Evidence, Metrics, champion_drops
from efficientdet.bootstrap import Interval
from efficientdet.bundle import unjudged, variants
from efficientdet.coco_metric import COCO_METRICS
from efficientdet.label_map import LabelMap
from efficientdet.scored_image import read_scored_images
from efficientdet.split_identity import TAG, split_change, split_identity

Found = Mapping[str, Mapping[int | None, float | None]]
"""What TFMA measured of one model: number by name, and by class id or None for all classes."""


class Findings(NamedTuple):
    """The evidence, the identity of the split, and the numbers of the champion's files on it."""

    evidence: Evidence
    split_identity: str
    champion_metrics: Metrics


def gather(
    evaluation: str,
    bundle: Path,
    label_map: LabelMap,
    total: int,
    champion: ChampionBundle | None,
    compared: Sequence[str],
    confidence: float,
    runtimes: Mapping[str, Mapping[str, float]],
) -> Findings:
    """Reads what TFMA wrote.

    Args:
      evaluation: the folder it wrote to.
      bundle: the candidate's.
      label_map: that of the examples.
      total: how many images the split holds.
      champion: the champion, if there is one.
      compared: the files of it that were scored too.
      confidence: of the intervals of the differences to it.
      runtimes: by variant its size and latency.
    """
    model, files = CANDIDATE if compared else "", variants(bundle)
    measured = read_metrics(evaluation)
    ours, theirs = measured[model], _overall(measured[BASELINE], compared)
    per_class = {variant: _per_class(variant, ours, label_map) for variant in files}
    metrics = _overall(ours, files)
    scored = Path(evaluation) / SCORED_FOLDER
    images = list(read_scored_images(scored)) if scored.is_dir() else []
    identity = split_identity(images, label_map)
    drops = champion_drops(images, compared, confidence)
    evidence = Evidence(
        metrics=metrics,
        images={variant: int(ours[f"{variant}/{IMAGES}"][None] or 0) for variant in files},
        total=total,
        unscored=read_unscored(evaluation),
        per_class=per_class,
        slices={_name(where): _overall(each[model], files) for where, each in read_slices(evaluation).items() if where},
        missing_classes=tuple(name for name, numbers in per_class["float"].items() if numbers["AP"] is None),
        runtimes=runtimes,
        champion=_champion(champion, drops, identity) if champion else None,
        unjudged=unjudged(bundle),
    )
    return Findings(evidence, identity, theirs)


def _champion(champion: ChampionBundle, drops: Mapping[str, Interval | None], identity: str) -> Champion:
    change = split_change(champion.version.tags.get(TAG), identity)
    return Champion(str(champion.version), drops, not champion.same_classes, change)


def _overall(found: Found, files: Iterable[str]) -> Metrics:
    return {variant: {name: found[f"{variant}/{name}"][None] for name in COCO_METRICS} for variant in files}


def _per_class(variant: str, found: Found, label_map: LabelMap) -> Metrics:
    """The numbers of each class by its name."""
    return {
        label.name: {name: found[f"{variant}/{name}"].get(label.id) for name in CLASS_METRICS} for label in label_map
    }


def _name(where: Slice) -> str:
    return ",".join(f"{feature}={value}" for feature, value in where)
