"""What became of the records that the data were made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from efficientdet.data.ledger import Count, Finding, Ledger
from efficientdet.report.markup import Html, join, tag
from efficientdet.report.table import count, table

MOST_FINDINGS = 50
"""Of each split."""


def data_ledger(ledger: Mapping[str, Ledger]) -> Html:
    """The counts of every split, why records were changed or left out, and the first of them."""
    header = ["split", "", "read", "kept as is", "clipped", "merged", "dropped"]
    rows = [
        [split, kind, *_counts(counts)]
        for split, account in ledger.items()
        for kind, counts in (("images", account.images), ("boxes", account.boxes))
    ]
    text = "What was read of each split, and what became of it: read = kept + clipped + merged + dropped."
    return join(
        tag("h2", "Data ledger", id="ledger"),
        tag("p", text),
        table(header, rows),
        (_reasons(split, account) for split, account in ledger.items()),
    )


def _counts(counts: Count) -> list[object]:
    changed = (counts.clipped, counts.merged, counts.dropped)
    return [count(counts.read), count(counts.kept), *(count(counter.total()) for counter in changed)]


def _reasons(split: str, account: Ledger) -> Html | None:
    rows = [
        [reason, kind, outcome, count(number)]
        for kind, counts in (("images", account.images), ("boxes", account.boxes))
        for outcome in ("clipped", "merged", "dropped", "noted")
        for reason, number in _counter(counts, outcome).most_common()
    ]
    if not rows:
        return None
    reasons = table(["reason", "", "outcome", "records"], rows)
    return tag("details", tag("summary", f"Reasons in {split}"), reasons, _findings(account.findings))


def _counter(counts: Count, outcome: str) -> Counter[str]:
    return getattr(counts, outcome)


def _findings(findings: list[Finding]) -> Html | None:
    if not findings:
        return None
    rows = [[f"{f.file.rpartition('/')[2]}, {f.record}", f.outcome, f.message] for f in findings[:MOST_FINDINGS]]
    said = tag(
        "p", f"The first {len(rows)} of {len(findings)} records listed:" if len(rows) < len(findings) else "Records:"
    )
    return join(said, table(["record", "outcome", "what happened"], rows, tall=len(rows) > 15))
