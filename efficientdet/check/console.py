"""The report for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from efficientdet.check.report import Report

SHOWN = 3  # examples of each problem


def print_report(report: Report, console: Console) -> None:
    """Counts, classes, problems with their first examples, and which anchors fit."""
    empty = sum(split.empty for split in report.splits.values())
    most = max(split.most for split in report.splits.values())
    console.print(f"{report.images} images, {empty} of them without a box; {most} boxes in one at most")
    for name, split in report.splits.items():
        console.print(f"{name}: images {split.ledger.images}; boxes {split.ledger.boxes}", markup=False)
    _print_classes(report, console)
    _print_problems(report, console)
    _print_anchors(report, console)
    for path in report.fixed:
        console.print(f"clean annotations: {path}", markup=False, soft_wrap=True)


def _print_classes(report: Report, console: Console) -> None:
    several = list(report.splits) if len(report.splits) > 1 else []
    table = Table("class", "boxes", *(f"in {escape(name)}" for name in several))
    for label in report.labels:
        boxes = [split.classes.boxes[label.id] for split in report.splits.values()]
        table.add_row(escape(label.name), str(sum(boxes)), *map(str, boxes if several else ()))
    for name, count in report.strange_boxes().items():
        table.add_row(escape(name), str(count))
    console.print(table)


def _print_problems(report: Report, console: Console) -> None:
    if not report.cases:
        console.print("no problems")
        return
    table = Table("code", "problem", "severity", "count", "first ones")
    for case in report.sorted_cases():
        first = [f"{finding.record}: {finding.message}" for _, finding in case.examples[:SHOWN]]
        count = case.counts.total()
        more = [f"and {count - len(first)} more"] * (count > len(first))
        problem = case.problem
        table.add_row(problem.code, problem.name, problem.severity, str(count), escape("\n".join(first + more)))
    console.print(table)


def _print_anchors(report: Report, console: Console) -> None:
    suggestion, boxes = report.suggestion, int(report.sizes.counts.sum())
    if suggestion is None:
        console.print("no boxes, so no anchors are suggested")
        return
    lost = int(report.sizes.marked.sum())
    console.print(f"no anchor of {report.model} overlaps {lost} of {boxes} boxes ({lost / boxes:.1%}) with IoU 0.5")
    table = Table("anchors", "aspect ratios", "mean best IoU", "boxes below IoU 0.5")
    for name, fit in (("current", suggestion.current), ("suggested", suggestion.suggested)):
        ratios = ", ".join(map(str, fit.aspect_ratios))
        table.add_row(name, ratios, f"{fit.mean_iou:.3f}", f"{fit.unreached:.1%}")
    table.caption = "Anchors centred on the boxes."
    console.print(table)
    if suggestion.too_small:
        console.print(
            f"{suggestion.too_small:.1%} of the boxes are too small for any anchor; "
            "a larger model.image_size or a lower model.min_level reaches them"
        )
    advice = (
        f"--hparams '{suggestion.hparams}'" if suggestion.is_new else "the configured aspect ratios fit as they are"
    )
    console.print(advice, markup=False, soft_wrap=True)
