from __future__ import annotations

from efficientdet.report.markup import tag
from efficientdet.report.table import Number, count, difference, table


def test_numbers() -> None:
    assert Number(0.12345).cell() == "<td>0.123</td>"
    assert count(1234).cell() == "<td>1234</td>"
    assert Number(None).cell() == '<td><span class="soft">n/a</span></td>'
    assert 'style="--v:100.0%"' in Number(1.7, bar=True).cell()


def test_differences() -> None:
    assert difference(0.5, 0.25) == '<small class="up"> +0.250</small>'
    assert difference(0.25, 0.5) == '<small class="down"> −0.250</small>'
    assert difference(0.5, 0.50001) == "<small> ±0.000</small>"
    assert difference(None, 0.5) is difference(0.5, None) is None


def test_a_table() -> None:
    rows = [["<cat>", Number(0.5), "<b>"]]
    html = table(["class", "AP", "why"], rows, total=["all", Number(0.5), ""], sortable=True)
    assert '<table class="sortable">' in html
    assert '<th scope="col">class</th><th class="n" scope="col">AP</th><th scope="col">why</th>' in html
    assert '<tr><th scope="row">&lt;cat&gt;</th><td>0.500</td><td class="t">&lt;b&gt;</td></tr>' in html
    assert html.count("<tr>") == 3
    assert tag("tbody") in table(["class", "AP"], [])
