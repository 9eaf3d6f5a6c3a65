"""Paths that commands write to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class LocalPath(click.Path):
    """A path of this machine; an address such as gs://bucket/run is refused instead of becoming a folder `gs:`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The Path; fails with the rule and the remedy."""
        if "://" in str(value):
            self.fail(f"{value}: is an address; name a path of this machine, mounted or to be copied from", param, ctx)
        return super().convert(value, param, ctx)
