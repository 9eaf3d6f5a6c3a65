"""How much of everything a page shows, so that no data set makes it too large to open."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """rows: of a table of classes or rules. curves: classes that have them. cells: of a drawn confusion matrix.

    marks: boxes in one figure. names: of the classes that a split lacks.
    """

    rows: int = 1000
    curves: int = 120
    cells: int = 3000
    marks: int = 150
    names: int = 200

    def halved(self) -> Limits:
        """Half of everything."""
        return Limits(*(getattr(self, field.name) // 2 for field in fields(self)))
