"""Numbers that commands take."""

from __future__ import annotations

import math
from typing import Any

import click


class NumberRange(click.FloatRange):
    """A number of a range; nan, of which no bound says that it is outside, is refused too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; fails with the range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


score_option = click.option(
    "--score",
    "--min-score-thresh",
    default=0.3,
    show_default=True,
    type=NumberRange(0, 1),
    help="Least score of a detection.",
)
"""Of commands that detect, with google/automl's name for it."""
