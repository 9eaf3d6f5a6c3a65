"""`efficientdet models`: what is registered, what became of it, and what of it may go."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from efficientdet.cli_numbers import NumberRange
from efficientdet.cli_registry import registry_option

if TYPE_CHECKING:
    from rich.table import Table

    from efficientdet.registry import ModelVersion

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@click.group(invoke_without_command=True)
@registry_option
@click.option("--architectures", is_flag=True, help="List the network sizes that can be trained instead.")
@json_option
@click.pass_context
def models(context: click.Context, registry: str, architectures: bool, as_json: bool) -> None:
    """List the registered models, newest versions first."""
    if context.invoked_subcommand:
        return None
    if architectures:
        from dataclasses import asdict

        from efficientdet.architectures import ARCHITECTURES, COSTS

        sizes = [asdict(size) | COSTS[name]._asdict() for name, size in ARCHITECTURES.items()]
        return _print_json(sizes) if as_json else _print_table(_architecture_table(sizes))
    from efficientdet.registry import open_registry

    versions = open_registry(registry).versions()
    if as_json:
        return _print_json([_version_record(version) for version in versions])
    if not versions:
        return click.echo(f"{registry}: no model is registered there yet")
    return _print_table(_version_table(versions))


@models.command()
@click.argument("name")
@json_option
@registry_option
def promotions(name: str, as_json: bool, registry: str) -> None:
    """List every change of NAME's champion: who, when and why, oldest first."""
    from efficientdet.registry import open_registry
    from efficientdet.registry.promotion import promotions as promotions_of

    opened = open_registry(registry)
    made = promotions_of(opened, name)
    if as_json:
        return _print_json([promotion.model_dump(mode="json") for promotion in made])
    if not made:
        if not opened.versions(name):
            opened.get(name)
        return click.echo(f"{name}: no version was promoted yet")
    from rich.table import Table
    from rich.text import Text

    table = Table("", "when", "what", "version", "before", "who", "why")
    for one in made:
        cells = (str(one.number), f"{one.at.astimezone():%Y-%m-%d %H:%M}", one.act, one.version, one.before or "")
        table.add_row(*cells, Text(one.by), Text(one.reason))
    return _print_table(table)


@models.command()
@click.argument("name", required=False)
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="The N newest versions of each model stay.")
@click.option("--older-than", type=NumberRange(0, 36500), metavar="DAYS", help="What is younger stays.")
@click.option("--yes", is_flag=True, help="Delete; without it they are only listed.")
@registry_option
def gc(name: str | None, keep: int | None, older_than: float | None, yes: bool, registry: str) -> None:
    """Delete old versions of NAME, or of all models; with both bounds, those that both let go.

    What has an alias stays, champion and previous above all. Files that a publishing of NAME, or of any model, left
    which died more than a day ago go too. Each is listed; what the registry does not let go is named with the reason.
    """
    from efficientdet.registry import open_registry
    from efficientdet.registry.retention import Policy, collect, garbage

    opened = open_registry(registry)
    found = garbage(opened, Policy(keep, None if older_than is None else timedelta(days=older_than)), name)
    going, stayed = collect(opened, found) if yes else (found, {})
    for version in going.versions:
        click.echo(f"{version}  {version.created.astimezone():%Y-%m-%d %H:%M}  {version.size / 1e6:.1f} MB")
    for publishing in going.unfinished:
        click.echo(f"{publishing}  a publishing that died")
    for what, why in stayed.items():
        click.echo(f"{what}: stayed: {why}", err=True)
    count = f"{len(going.versions)} version{'s' * (len(going.versions) != 1)} ({going.size / 1e6:.1f} MB)"
    count += f" and the files of {len(going.unfinished)} publishings that died"
    click.echo(f"{count}: deleted" if yes else f"{count} may go; nothing was deleted, --yes does it")


def _print_json(records: list[dict[str, Any]]) -> None:
    click.echo(json.dumps(records, indent=1, ensure_ascii=False))


def _print_table(table: Table) -> None:
    """The table; into a file or pipe at a width that cuts no name."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _version_record(version: ModelVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "metrics": version.metrics,
        "created": version.created.isoformat(timespec="seconds"),
        "bytes": version.size,
        "content": version.content,
        "tags": dict(version.tags),
    }


def _version_table(versions: list[ModelVersion]) -> Table:
    from rich.table import Table

    table = Table("name", "version", "alias", "AP float", "AP int8", "size", "created")
    for version in versions:
        ap = [version.metrics.get(part, {}).get("AP") for part in ("float", "int8")]
        table.add_row(
            version.name,
            version.version,
            ", ".join(version.aliases),
            *("n/a" if value is None else f"{value:.3f}" for value in ap),
            f"{version.size / 1e6:.1f} MB",
            f"{version.created.astimezone():%Y-%m-%d %H:%M}",
        )
    return table


def _architecture_table(sizes: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("name", "image", "parameters", "FLOPs", "backbone", "BiFPN", "heads")
    for size in sizes:
        height, width = size["image_size"]
        table.add_row(
            size["name"],
            f"{width}x{height}",
            f"{size['parameters'] / 1e6:.1f} M",
            f"{size['flops'] / 1e9:.2f} G",
            size["backbone"],
            f"{size['fpn_filters']} x {size['fpn_repeats']}",
            str(size["head_repeats"]),
        )
    table.caption = "With 90 classes; FLOPs are multiply-adds per image, as in the paper."
    return table
