"""`efficientdet-pipeline promote` and `rollback`: which version consumers get, changed by a person with a reason."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from efficientdet.cli_registry import registry_option
from efficientdet.errors import EfficientDetError, RegistryError
from efficientdet.person import person
from efficientdet.registry import CANDIDATE, CHAMPION, Registry, open_registry, parse_reference
from efficientdet.registry.promotion import Promotion, promotions
from efficientdet.registry.promotion import promote as make_champion
from efficientdet.registry.promotion import rollback as roll_back

reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why, for those who read it later.")


@click.command()
@click.argument("reference", metavar="NAME[@VERSION|@ALIAS]")
@reason_option
@registry_option
def promote(reference: str, reason: str, registry: str) -> None:
    """Make a version the champion: what consumers get.  [NAME's candidate]

    The champion before it becomes `previous`. Who, when and why is kept with the model, see `efficientdet models
    promotions`. Exit code 0: done, or it was the champion already; otherwise as `efficientdet pull`.
    """
    where = reference if "@" in reference else f"{reference}@{CANDIDATE}"
    _record(registry, where, lambda opened, name, selector: make_champion(opened, name, selector, person(), reason))


@click.command()
@click.argument("name")
@reason_option
@registry_option
def rollback(name: str, reason: str, registry: str) -> None:
    """Make NAME's previous champion the champion again; doing it twice changes nothing but the record."""

    def back(opened: Registry, model: str, selector: str) -> Promotion:
        if "@" in name:
            raise RegistryError(
                f"{name}: a rollback goes to the champion before and takes no version; to choose one, "
                f"`efficientdet-pipeline promote {model}@{selector} --reason TEXT`"
            )
        return roll_back(opened, model, person(), reason)

    _record(registry, name, back)


def _record(address: str, reference: str, act: Callable[[Registry, str, str], Promotion | None]) -> None:
    """Does it and says what happened, or why not."""
    try:
        registry, (name, selector) = open_registry(address), parse_reference(reference)
        made, newest = act(registry, name, selector), promotions(registry, name)[-1]
    except EfficientDetError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    if made is None:
        click.echo(f"{name}@{newest.version} is the {CHAMPION} already; nothing changed")
        return
    instead = f" instead of {made.before}" if made.before else ""
    click.echo(f"{name}@{made.version} is the {CHAMPION}{instead}; recorded for {made.by}: {made.reason}")
    if newest != made:
        click.echo(f"note: {newest.by} made {newest.version} the {CHAMPION} since: {newest.reason}", err=True)
