from __future__ import annotations

import pytest

from efficientdet.errors import RegistryError
from efficientdet.registry import check_alias, check_name, parse_reference


@pytest.mark.parametrize(
    ("reference", "parts"),
    [("digits", ("digits", "champion")), ("digits@3", ("digits", "3")), ("a.b-c_1@beta", ("a.b-c_1", "beta"))],
)
def test_references(reference: str, parts: tuple[str, str]) -> None:
    assert parse_reference(reference) == parts


@pytest.mark.parametrize("reference", ["", "@champion", "digits@", "digits@1@2", "a/b", "../digits", "digits:1", "a b"])
def test_what_is_no_reference_is_refused_with_the_form(reference: str) -> None:
    with pytest.raises(RegistryError, match="write NAME, NAME@champion or NAME@3"):
        parse_reference(reference)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a@b", ".a", "it's"])
def test_names_that_cannot_be_referred_to_are_refused(name: str) -> None:
    with pytest.raises(RegistryError, match="model name"):
        check_name(name)


@pytest.mark.parametrize("alias", ["3", "v3", "latest", "a b", "a.b"])
def test_aliases_that_mean_something_else_are_refused(alias: str) -> None:
    with pytest.raises(RegistryError, match=f"alias '{alias}'"):
        check_alias(alias)
