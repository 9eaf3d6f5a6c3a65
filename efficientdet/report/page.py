"""The report of an evaluation: one HTML file that needs nothing else, and fetches nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from efficientdet.atomic_file import write_file
from efficientdet.blessing import Blessing
from efficientdet.data.ledger import Ledger
from efficientdet.label_map import LabelMap
from efficientdet.report.chart import axes
from efficientdet.report.figure import Figure
from efficientdet.report.gallery import galleries
from efficientdet.report.label_errors import suspects
from efficientdet.report.markup import Html, join, tag, verbatim
from efficientdet.report.pictures import take_pictures
from efficientdet.report.sections.calibration import calibration
from efficientdet.report.sections.curves import curves
from efficientdet.report.sections.errors import error_kinds
from efficientdet.report.sections.figures import gallery_html, key, sheet
from efficientdet.report.sections.label_errors import label_errors, suspect_figures
from efficientdet.report.sections.ledger import data_ledger
from efficientdet.report.sections.scores import classes, scores
from efficientdet.report.sections.thresholds import thresholds
from efficientdet.report.sections.verdict import verdict
from efficientdet.report.study import Study, study
from efficientdet.scored_image import ScoredImage

FILE_NAME = "report.html"
MOST_BYTES = 10_000_000
PICTURE_BYTES = 6_000_000
"""For all pictures together, where the rest of the page leaves as much."""
RESERVE = 100_000
"""For the page's style and script, and what is around the pictures."""
NAVIGATION = {
    "rules": "Rules",
    "scores": "Scores",
    "classes": "Classes",
    "curves": "Curves",
    "thresholds": "Thresholds",
    "errors": "Errors",
    "calibration": "Calibration",
    "galleries": "Pictures",
    "labels": "Label errors",
    "ledger": "Data",
}

Thresholds = dict[str, dict[int, float]]


def write_report(
    path: str | Path,
    images: Iterable[ScoredImage],
    label_map: LabelMap,
    *,
    pictures: Iterable[tuple[str, bytes]] = (),
    blessing: Blessing | None = None,
    ledger: Mapping[str, Ledger] | None = None,
    title: str = "Evaluation",
) -> Thresholds:
    """Writes the page, complete or not at all, and returns the best thresholds in it.

    Args:
      path: of the HTML file, at most MOST_BYTES large.
      images: what the evaluation saw, read once.
      label_map: names the classes.
      pictures: (image id, encoded image), for those that are shown; read once and no further than needed, as
        `report.pictures.stored_pictures` does with shards of examples.
      blessing: the judgement, to stand at the top.
      ledger: the account of the data, by split.
      title: the page's heading.

    Returns:
      By contender and class id the score from which on its detections are best believed, as
      `best_threshold.best_thresholds` gives it.
    """
    subject = study(images, label_map)
    while True:
        body, figures = _body(subject, blessing, ledger or {}, title)
        room = MOST_BYTES - RESERVE - len(body.encode())
        if room > 0 or not subject.limits.rows:
            break
        subject = replace(subject, limits=subject.limits.halved())
    taken = take_pictures(subject, figures, pictures, min(PICTURE_BYTES, room))
    write_file(path, _document(title, join(body, sheet(taken))))
    return {
        contender.name: {class_id: p.threshold for class_id, p in contender.points.items() if p.is_best}
        for contender in subject.contenders
    }


def _body(
    subject: Study, blessing: Blessing | None, ledger: Mapping[str, Ledger], title: str
) -> tuple[Html, list[Figure]]:
    """All that the page shows but the pictures themselves, and the figures that want them."""
    shown = galleries(subject)
    found = suspects(subject)
    doubtful = suspect_figures(subject, found)
    parts: dict[str, Html] = {}
    if subject.contenders:
        views = {"scores": scores, "classes": classes, "curves": curves, "thresholds": thresholds}
        views |= {"errors": error_kinds, "calibration": calibration}
        parts = {name: view(subject) for name, view in views.items()}
        albums = (gallery_html(subject, gallery) for gallery in shown)
        empty = None if shown else tag("p", "There is no error to show.")
        parts["galleries"] = join(tag("h2", "Pictures", id="galleries"), key() if shown else None, empty, albums)
        parts["labels"] = label_errors(subject, found, doubtful)
    if ledger:
        parts["ledger"] = data_ledger(ledger)
    links = ["rules"] * (blessing is not None) + list(parts)
    navigation = tag("nav", (tag("a", NAVIGATION[name], href=f"#{name}") for name in links), aria_label="Sections")
    sections = (tag("section", part) for part in parts.values())
    body = join(axes(), tag("header", verdict(subject, blessing, title)), navigation, tag("main", sections))
    return body, [f for gallery in shown for f in gallery.figures] + [f for fs in doubtful.values() for f in fs]


def _document(title: str, body: Html) -> str:
    """The page around its body. Its policy lets a browser run our script alone, and fetch nothing at all."""
    here = files("efficientdet.report")
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", verbatim(style)),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", body, tag("script", verbatim(script))), lang="en") + "\n"
