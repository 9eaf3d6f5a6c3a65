from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from efficientdet.report.markup import LONGEST_TEXT, Html, join, tag, text, verbatim


def test_elements_and_attributes() -> None:
    assert tag("td", 3, class_="n", data_value=0.5) == '<td class="n" data-value="0.5">3</td>'
    assert tag("meta", name="viewport") == '<meta name="viewport">'
    assert tag("input", hidden=True, checked=False, title=None) == "<input hidden></input>"
    assert tag("p", "a", None, [1, (2.5, tag("b", "c"))]) == "<p>a12.5<b>c</b></p>"


def test_only_what_is_html_stays_as_it_is() -> None:
    assert text("<b>") == "&lt;b&gt;"
    assert text(Html("<b>")) == "<b>"
    assert join("<", verbatim("<br>")) == "&lt;<br>"


def test_what_cannot_be_printed_or_is_too_long() -> None:
    assert text("a\x00\ud800\nb") == "a\\x00\\ud800\\nb"
    assert len(text("a" * 5000)) == LONGEST_TEXT
    assert tag("path", d="1" * 5000) == f'<path d="{"1" * 5000}"></path>'


@given(st.text())
def test_no_text_becomes_an_element_or_an_attribute(read, hostile: str) -> None:
    page = read(tag("p", hostile, title=hostile))
    [(name, attributes)] = page.elements
    assert name == "p"
    assert set(attributes) == {"title"}
    if hostile.isprintable() and len(hostile) <= LONGEST_TEXT:
        assert (page.text, attributes["title"]) == (hostile, hostile)
