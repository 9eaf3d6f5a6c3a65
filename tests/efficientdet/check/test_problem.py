"""The codes are stable, documented, and cover every reason that readers and admission give."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from efficientdet.check.problem import BY_REASON, OTHER, PROBLEMS, as_table, problem_of

ROOT = Path(__file__).parents[3]
# A code that was given once keeps its meaning: add to this list, never change it.
CODES = """
A101 A102 A103 A104 A105 A106 A107 A108 A109 A110 A111 A112 A199
I201 I202 I203 I204 I205 I206 I207 I208 I209 I210 I211 I212
B301 B302 B303 B304 B305 B306 B307 B308 B309 C401 C402 C403 C404 C405 C406 D501 D502 D503 D504 N601
"""


def reasons_in(path: Path) -> set[str]:
    """The first strings of findings, errors, notes and problems in a source file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            places = {"UnusableError": 0, "Finding": 0, "_finding": 2 if path.name == "admission.py" else 0}
            if name in places and len(node.args) > places[name]:
                found.add(node.args[places[name]])
        # (reason, sentence), as notes and problems are.
        elif (
            isinstance(node, ast.Tuple)
            and len(node.elts) == 2
            and isinstance(node.elts[1], (ast.JoinedStr, ast.Name, ast.Constant))
        ):
            found.add(node.elts[0])
        elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 3:
            found.add(node.value.elts[1])
    strings = {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in strings if re.fullmatch(r"[A-Za-z-]+( [A-Za-z-]+)+|animation", text)}


@pytest.mark.parametrize("folder", ["efficientdet/data", "efficientdet/check", "components/example_gen"])
def test_every_reason_has_a_code(folder: str) -> None:
    reasons = {
        reason for path in (ROOT / folder).glob("*.py") if path.name != "problem.py" for reason in reasons_in(path)
    }
    expected = {"efficientdet/data": "zero-area box", "efficientdet/check": "tiny box", "components/example_gen": None}
    assert expected[folder] is None or expected[folder] in reasons, "the search itself works"
    assert reasons - BY_REASON.keys() == set()


def test_codes_stay() -> None:
    assert [problem.code for problem in PROBLEMS] == CODES.split()
    assert len(set(CODES.split())) == len(PROBLEMS)
    assert len(BY_REASON) == sum(1 + len(problem.reasons) for problem in PROBLEMS), "no reason stands for two problems"


def test_an_unknown_reason_is_still_counted() -> None:
    assert problem_of("struck by lightning") is OTHER


def test_the_documentation_lists_them() -> None:
    assert as_table() in (ROOT / "docs/checks.md").read_text(encoding="utf-8")
