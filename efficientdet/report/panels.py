"""One panel for each contender; the page's script shows one at a time, without it they follow each other."""

from __future__ import annotations

from collections.abc import Callable

from efficientdet.report.markup import Html, tag
from efficientdet.report.study import Contender, Study


def panels(study: Study, render: Callable[[Contender], object]) -> Html:
    """What `render` makes of each contender, under its name where there are several."""
    if len(study.contenders) == 1:
        return tag("div", render(study.contenders[0]))
    shown = (
        tag(
            "div",
            tag("h3", contender.name, class_="who"),
            render(contender),
            class_="panel",
            data_contender=contender.name,
        )
        for contender in study.contenders
    )
    return tag("div", shown, class_="panels")
