"""The model card: what a registered model is, how good, for what, and where it comes from, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from efficientdet.blessing import Blessing
from efficientdet.config import Config
from efficientdet.errors import printable
from efficientdet.label_map import LabelMap

FILE_NAME = "model_card.md"
_SCORES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")
_LINEAGE = {
    "data": "data fingerprint",
    "inputs": "fingerprint of data, settings and code",
    "baseline": "compared with version",
    "run": "pipeline run",
    "commit": "commit of the code",
}


@dataclass(frozen=True)
class Facts:
    """All that a card is written from.

    Attributes:
      name: the registered name.
      config: of the exported model.
      judgement: the scores of every shipped file, and the verdict.
      thresholds: by file and class name, the score from which on a detection is best believed.
      tags: of the version: `purpose`, `limits` and `license` as its owner says, and the lineage.
      boxes: by split and class name, how many boxes the data have.
    """

    name: str
    config: Config
    label_map: LabelMap
    judgement: Blessing
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    boxes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def model_card(facts: Facts) -> str:
    """The card."""
    parts = [_what(facts), _scores(facts.judgement), _classes(facts), _limits(facts), _license(facts), _lineage(facts)]
    return "\n\n".join(parts) + "\n"


def _what(facts: Facts) -> str:
    height, width = facts.config.model.input_size
    told = [_text(facts.tags["purpose"])] if facts.tags.get("purpose") else []
    kind = f"An object detector, {facts.config.model.name}, for {len(facts.label_map)} classes"
    return "\n\n".join([f"# {_text(facts.name)}", *told, f"{kind}, on images of {width}x{height} pixels."])


def _scores(judgement: Blessing) -> str:
    rows = [
        [_text(file), *(_number(metrics.get(score)) for score in _SCORES)]
        for file, metrics in judgement.metrics.items()
    ]
    seen = f"COCO's numbers on {judgement.images_scored} of {judgement.images_total} images of the split"
    verdict = f"{judgement.outcome}, {judgement.override}" if judgement.override else judgement.outcome
    about = f"{seen} `{judgement.split}`; the verdict: {_text(verdict)}."
    return f"## Scores\n\n{about}\n\n{_table(['file', *_SCORES], rows)}"


def _classes(facts: Facts) -> str:
    """Threshold per class and file; how many boxes of it there are."""
    files, splits = list(facts.thresholds), list(facts.boxes)
    rows = [
        [
            _text(label.name),
            *(_number(facts.thresholds[file].get(label.name)) for file in files),
            *(str(facts.boxes[split].get(label.name, 0)) for split in splits),
        ]
        for label in facts.label_map
    ]
    heads = ["class", *(f"threshold {file}" for file in files), *(f"boxes in {split}" for split in splits)]
    about = "A detection is best believed from its class's threshold on, where F1 is greatest."
    return f"## Classes\n\n{about}\n\n{_table(heads, rows)}"


def _limits(facts: Facts) -> str:
    missing = [_text(name) for name in facts.judgement.missing_classes]
    said = [
        *([_text(facts.tags["limits"])] if facts.tags.get("limits") else []),
        "It finds the classes above and nothing else; its scores hold for images like those of the split.",
        *([f"Nobody knows how well it finds {', '.join(missing)}: the split has none."] if missing else []),
        *(f"It breaks a rule: {_text(reason)}." for reason in facts.judgement.reasons),
    ]
    return "## Limits\n\n" + "\n".join(f"- {sentence}" for sentence in said)


def _license(facts: Facts) -> str:
    return f"## License\n\n{_text(facts.tags.get('license') or 'Not stated; ask who published it before using it.')}"


def _lineage(facts: Facts) -> str:
    known = {words: facts.tags[tag] for tag, words in _LINEAGE.items() if facts.tags.get(tag)}
    known |= {"label map": facts.label_map.hash, "split": facts.judgement.split_identity}
    rows = [[words, f"`{_text(value)}`"] for words, value in known.items() if value]
    return "## Lineage\n\n" + _table(["what", "which"], rows)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heads), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _text(text: str) -> str:
    """On one line, without a meaning of its own in a table or as HTML."""
    return printable(" ".join(text.split()), 2000).replace("|", "\\|").replace("<", "&lt;")
