"""Figures in the page: a shared picture with boxes drawn over it, and galleries of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from efficientdet.report.figure import CROWD, FALSE, FOUND, MISSED, TRUE, Figure, Mark, Region, whole
from efficientdet.report.gallery import Gallery
from efficientdet.report.markup import Html, join, tag
from efficientdet.report.pictures import View
from efficientdet.report.study import Study

LETTER = 0.6
"""The mean width of a letter, as a part of its height."""
KEY = {
    FOUND: "object, found",
    MISSED: "object, missed",
    CROWD: "crowd",
    TRUE: "detection, right",
    FALSE: "detection, false",
}


def key() -> Html:
    """What the colours of the boxes mean."""
    box = tag("rect", x=3, y=3, width=12, height=7)
    entries = (
        tag("span", tag("svg", tag("g", box, class_=f"mark {kind}"), viewBox="0 0 18 13"), meaning)
        for kind, meaning in KEY.items()
    )
    return tag("p", entries, class_="legend key")


def gallery_html(study: Study, gallery: Gallery) -> Html:
    """A title and its figures."""
    return join(tag("h3", gallery.title), tag("p", gallery.explanation), figures(study, gallery.figures))


def figures(study: Study, shown: Iterable[Figure]) -> Html:
    """Figures side by side, close-ups smaller than whole images."""
    listed = list(shown)
    whole_images = all(figure.region == whole(study, figure.image) for figure in listed)
    frame = Frame(350, 262, 10.5) if whole_images else Frame(170, 170, 9.5)
    drawn = (_figure(figure, frame) for figure in listed)
    return tag("div", drawn, class_="pictures" if whole_images else "pictures small")


class Frame(NamedTuple):
    """About how large a figure is shown, and its letters, in pixels of the page."""

    width: float
    height: float
    letters: float


def sheet(pictures: Mapping[View, str]) -> Html:
    """The pictures themselves, once each, for the figures to refer to."""
    images = (
        tag(
            "image",
            id=_name(view),
            **_place(view[1]),
            preserveAspectRatio="none",
            href=f"data:image/jpeg;base64,{jpeg}",
        )
        for view, jpeg in sorted(pictures.items())
    )
    return tag("svg", tag("defs", images), class_="sheet", aria_hidden="true")


def _figure(figure: Figure, frame: Frame) -> Html:
    """The part of the image in a view of its own, which cuts boxes where the picture ends."""
    region, first, *rest = figure.region, *figure.caption
    view = f"{region.x} {region.y} {region.width} {region.height}"
    size = round(frame.letters * max(region.width / frame.width, region.height / frame.height), 1)
    picture = tag("use", href=f"#{_name((figure.image, region))}")
    labels = tag("g", _labels(figure, size), font_size=size, stroke_width=round(size / 6, 1), class_="labels")
    inside = tag("svg", picture, map(_box, figure.marks), labels, **_place(region), viewBox=view)
    drawn = tag("svg", inside, viewBox=view, role="img", aria_label="; ".join(figure.caption))
    caption = tag("figcaption", tag("b", first), "".join(f" · {line}" for line in rest))
    return tag("figure", drawn, caption)


def _box(mark: Mark) -> Html:
    place = dict(zip(("x", "y", "width", "height"), (round(value, 1) for value in mark.box), strict=True))
    halo, box = tag("rect", **place, class_="halo"), tag("rect", **place)
    return tag("g", tag("title", mark.label), halo, box, class_=f"mark {mark.kind}")


def _labels(figure: Figure, size: float) -> list[Html]:
    """The labels of the uppermost marks that do not cover each other, above their boxes or in them."""
    region = figure.region
    taken: list[tuple[float, float, float]] = []
    labels = []
    for mark in reversed(figure.marks):
        if not mark.labelled:
            continue
        length = LETTER * size * len(mark.label)
        x, y = max(mark.box[0], region.x), max(mark.box[1], region.y)
        left = max(min(x, region.x + region.width - length), region.x)
        line = y - 0.3 * size if y - region.y > 1.2 * size else y + size
        if any(left < end and start < left + length and abs(line - other) < size for start, end, other in taken):
            continue
        taken.append((left, left + length, line))
        labels.append(tag("text", mark.label, x=round(left, 1), y=round(line, 1), class_=f"mark {mark.kind}"))
    return labels


def _name(view: View) -> str:
    image, region = view
    return f"p{image}-{region.x}-{region.y}-{region.width}-{region.height}"


def _place(region: Region) -> dict[str, object]:
    return {"x": region.x, "y": region.y, "width": region.width, "height": region.height}
