"""The report as one HTML file that needs nothing else: tables, bars drawn as SVG, and pictures inside.

Whatever comes from the data is escaped: names of files and classes are written by strangers.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from efficientdet.check.histogram import LogHistogram
from efficientdet.check.picture import Picture
from efficientdet.check.problem import SEVERITIES
from efficientdet.check.report import Case, Report
from efficientdet.config import Config

CLASSES = 20  # shown at once, those with most boxes
STYLE = """
:root { --ink: #1c2430; --soft: #667085; --line: #e4e7ec; --bar: #4c78a8; --bad: #d92d20; --warn: #b54708; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin: 2rem 0 .25rem; } p { margin: .25rem 0; } .soft { color: var(--soft); }
table { border-collapse: collapse; margin: .75rem 0; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; white-space: nowrap; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.text { overflow-wrap: anywhere; }
.error { color: var(--bad); } .warning { color: var(--warn); } .info { color: var(--soft); }
.pictures { display: flex; flex-wrap: wrap; gap: .75rem; margin: .75rem 0; }
figure { margin: 0; width: 246px; } figure.two { width: 500px; } figure img { max-width: 246px; vertical-align: top; }
figcaption { font-size: 12px; line-height: 1.35; color: var(--soft); overflow-wrap: anywhere; }
figure .none { background: var(--line); color: var(--soft); padding: 3rem 1rem; text-align: center; }
.charts { display: flex; flex-wrap: wrap; gap: 2rem; } svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
details { margin: .25rem 0; } summary { cursor: pointer; color: var(--soft); }
"""


def to_html(report: Report, config: Config, anchors: NDArray[np.floating]) -> str:
    """The whole page.

    Args:
      report: what was found, with pictures if it was made with any.
      config: the model.
      anchors: `[a, 2]` heights and widths of its anchors, pixels of the network input.
    """
    height, width = config.model.input_size
    sections = [_summary(report), _problems(report), _splits(report), _classes(report)]
    sections += [_boxes(report, anchors), *(_case(case) for case in report.sorted_cases())]
    model = f"Boxes are compared with the anchors of {escape(report.model)} at {width}x{height} pixels."
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Check of a data set</title>'
        f'<style>{STYLE}</style></head><body>\n<h1>Check of a data set</h1>\n<p class="soft">{model}</p>\n'
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def _summary(report: Report) -> str:
    counts = ", ".join(f'<span class="{kind}">{kind}s {report.count(kind)}</span>' for kind in SEVERITIES)
    boxes = sum(report.boxes_by_name().values())
    return f"<p>{report.images} images, {boxes} boxes to train on. Findings: {counts}.</p>"


def _problems(report: Report) -> str:
    if not report.cases:
        return "<h2>Problems</h2><p>None.</p>"
    names = list(report.splits)
    rows = [
        [
            f'<a href="#{case.problem.code}">{case.problem.code}</a>',
            escape(case.problem.name),
            f'<span class="{case.problem.severity}">{case.problem.severity}</span>',
            *(case.counts[name] for name in names),
        ]
        for case in report.sorted_cases()
    ]
    return "<h2>Problems</h2>" + _table(["code", "problem", "severity", *map(escape, names)], rows)


def _splits(report: Report) -> str:
    rows = []
    for name, split in report.splits.items():
        for kind, count in (("images", split.ledger.images), ("boxes", split.ledger.boxes)):
            rows.append(
                [escape(name), kind, count.read, count.kept]
                + [counter.total() for counter in (count.clipped, count.merged, count.dropped)]
            )
    header = ["split", "", "read", "kept as they are", "clipped", "merged", "dropped"]
    return "<h2>What training would get</h2>" + _table(header, rows)


def _classes(report: Report) -> str:
    names = list(report.splits)
    splits = list(report.splits.values())
    total = {label.id: sum(split.classes.boxes[label.id] for split in splits) for label in report.labels}
    most = max([*total.values(), 1])
    rows: list[list[object]] = []
    for label in sorted(report.labels, key=lambda label: -total[label.id]):
        length = 220 * total[label.id] / most
        bar = f'<svg width="222" height="12"><rect width="{length:.1f}" height="12" fill="var(--bar)"/></svg>'
        boxes = [report.splits[name].classes.boxes[label.id] for name in names]
        rows.append([escape(label.name), bar, *boxes, sum(s.classes.images[label.id] for s in report.splits.values())])
    header = ["class", "boxes", *(f"in {escape(name)}" for name in names), "images with it"]
    rest = rows[CLASSES:]
    more = (
        f"<details><summary>{len(rest)} classes with fewer boxes</summary>{_table(header, rest)}</details>"
        if rest
        else ""
    )
    return f"<h2>Classes</h2>{_table(header, rows[:CLASSES])}{more if rest else ''}"


def _boxes(report: Report, anchors: NDArray[np.floating]) -> str:
    boxes, lost = int(report.sizes.counts.sum()), int(report.sizes.marked.sum())
    if not boxes:
        return "<h2>Boxes and anchors</h2><p>There is no box to train on.</p>"
    text = [f"No anchor overlaps {lost} of {boxes} boxes ({lost / boxes:.1%}) with IoU 0.5 or more; they are red."]
    text.append("The small ticks show the anchors.")
    if report.suggestion:
        current, better = report.suggestion.current, report.suggestion.suggested
        text.append(f"With the best position, the mean IoU with the best anchor is {current.mean_iou:.3f}.")
        if report.suggestion.is_new:
            hparams = escape(report.suggestion.hparams)
            text.append(f"<code>--hparams '{hparams}'</code> would make it {better.mean_iou:.3f}.")
    sizes = report.sizes.places(np.sqrt(anchors.prod(axis=1)))
    aspects = report.aspects.places(anchors[:, 1] / anchors[:, 0])
    charts = _chart("Side of a square of the same area, pixels of the network input", report.sizes, sizes)
    charts += _chart("Width over height", report.aspects, aspects)
    return f'<h2>Boxes and anchors</h2><p>{" ".join(text)}</p><div class="charts">{charts}</div>'


def _chart(title: str, histogram: LogHistogram, ticks: Sequence[int] | NDArray[np.int64]) -> str:
    """Bars of boxes, the marked ones red at the bottom, over an axis with a label for each power of two."""
    width, height, left = 18, 150, 4
    most, edges = max(int(histogram.counts.max()), 1), histogram.edges
    total = left * 2 + width * len(histogram.counts)
    parts = []
    for i, (count, marked) in enumerate(zip(histogram.counts.tolist(), histogram.marked.tolist(), strict=True)):
        x, label = left + i * width, f"{edges[i]:g} to {edges[i + 1]:g}: {count} boxes, {marked} unmatched"
        for value, colour in ((count, "--bar"), (marked, "--bad")):
            if value:
                tall = max(height * value / most, 1)
                place = f'x="{x + 1}" y="{height - tall:.1f}" width="{width - 2}" height="{tall:.1f}"'
                parts.append(f'<rect {place} fill="var({colour})"><title>{label}</title></rect>')
    for i in sorted(set(np.asarray(ticks).tolist())):
        parts.append(f'<rect x="{left + i * width + width / 2 - 1}" y="{height + 3}" width="2" height="6"/>')
    for i, edge in enumerate(edges):
        if abs(np.log2(edge) - round(np.log2(edge))) < 1e-3:
            text = f"{edge:g}" if edge >= 1 else f"1/{1 / edge:g}"
            parts.append(f'<text x="{left + i * width}" y="{height + 24}" text-anchor="middle">{text}</text>')
    axis = f'<rect x="{left}" y="{height}" width="{total - 2 * left}" height="1"/>'
    svg = f'<svg width="{total + 40}" height="{height + 30}" viewBox="-20 0 {total + 40} {height + 30}">'
    return f"<div><p>{escape(title)}</p>{svg}{''.join(parts)}{axis}</svg></div>"


def _case(case: Case) -> str:
    problem = case.problem
    examples = [[escape(split), escape(_place(f.file, f.record)), escape(f.message)] for split, f in case.examples]
    pictures = "".join(_figure(picture) for picture in case.pictures)
    number = case.counts.total()
    shown = f"{number}" if number <= len(examples) else f"the first {len(examples)} of {number}"
    table = _table(["split", "record", "finding"], examples, "text")
    return (
        f'<h3 id="{problem.code}"><span class="{problem.severity}">{problem.code}</span> {escape(problem.name)}'
        f' <span class="soft">({number})</span></h3><p>{escape(problem.rule)} {escape(problem.remedy)}</p>'
        f'<div class="pictures">{pictures}</div><details{"" if pictures else " open"}>'
        f"<summary>Records: {shown}</summary>{table}</details>"
    )


def _place(file: str, record: str) -> str:
    return f"{file.rpartition('/')[2]}, {record}"


def _figure(picture: Picture) -> str:
    images = "".join(
        f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"> ' for jpeg in picture.thumbnails
    )
    two = ' class="two"' if len(picture.thumbnails) > 1 else ""
    shown = images or '<div class="none">no picture</div>'
    return f"<figure{two}>{shown}<figcaption>{escape(picture.caption)}</figcaption></figure>"


def _table(header: Iterable[str], rows: Iterable[Sequence[object]], kind: str = "") -> str:
    """A table; cells are HTML, and whole numbers stand on the right."""
    rows, names = [list(row) for row in rows], list(header)
    numbers = [isinstance(value, int) for value in rows[0]] if rows else [False] * len(names)
    head = "".join(_cell("th", name, number) for name, number in zip(names, numbers, strict=True))
    body = "".join(
        f"<tr>{''.join(_cell('td', value, isinstance(value, int), kind) for value in row)}</tr>" for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(tag: str, content: object, number: bool, kind: str = "") -> str:
    name = "n" if number else kind
    return f"<{tag} class={name}>{content}</{tag}>" if name else f"<{tag}>{content}</{tag}>"
