"""`efficientdet-pipeline`: run the pipeline here, or compile it for a cluster."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from efficientdet.errors import ConfigError, EfficientDetError
from efficientdet.lean_imports import lean_imports
from pipeline.cli_cluster import compile_, status, submit
from pipeline.cli_image import image
from pipeline.cli_infer import infer, merge
from pipeline.cli_options import EXIT_FAILED, config_file, config_option, fail, load, set_option
from pipeline.cli_promote import promote, rollback
from pipeline.cli_runs import runs
from pipeline.cli_schedule import schedule
from pipeline.nodes import node_names
from pipeline.selection import Selection

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.run_log import ScreenHandler
    from pipeline.run_view import RunView

RUNS_TO_EXPECT_BY = 5
EXIT_NOT_BLESSED = 3
EXIT_CODES = {"BLESSED": 0, "NOT_BLESSED": EXIT_NOT_BLESSED, "INCONCLUSIVE": EXIT_NOT_BLESSED, "COMPLETE": 0}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="efficientdet-pipeline")
def main() -> None:
    """From annotated images to a blessed, registered detector."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Of Google's client libraries, which are loaded with the config.
    warnings.filterwarnings("ignore", "You are using a Python version", FutureWarning)


for command in (infer, merge, runs, compile_, image, submit, status, schedule, promote, rollback):
    main.add_command(command)


@main.command()
@config_option
@set_option
@click.option("--summary", type=click.Path(dir_okay=False), help="Write what happened as JSON.")
@click.option("--from", "first", metavar="NODE", help="Run this node and those behind it, on the results before it.")
@click.option("--only", multiple=True, metavar="NODE", help="Run this node alone; may be repeated.")
@click.option("--wait", is_flag=True, help="If the pipeline is running already, begin when that run ends.")
def run(
    path: str, overrides: tuple[str, ...], summary: str | None, first: str | None, only: tuple[str, ...], wait: bool
) -> None:
    """Run on this machine.

    Exit code 0: blessed and pushed, or the nodes of --only done; 3: not blessed, inconclusive; 1: failed; 2: bad usage.
    Nodes of --from and --only are run whether or not the cache has their results.
    """
    config = load(path, overrides)
    selection = _selection(config, first, only)
    _make_folders(Path(config.root) / "logs", *[Path(path).parent for path in [summary] if path])
    try:
        from pipeline.run_log import run_log

        with run_log(config.root, node_names(config)) as log:
            result = _run(config, selection, wait, log.screen)
    except ModuleNotFoundError as error:
        fail(EfficientDetError(f"{error.name} is not installed; install the `pipeline` extra, as `make demo` does"))
    if summary:
        from pipeline.summary import write

        write(result, summary)
    _report(result, log.path, with_nodes=not (log.screen.shows_nodes and sys.stdout.isatty()))
    sys.exit(EXIT_CODES.get(result["outcome"], EXIT_FAILED))


@main.command()
@click.argument("run")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for those who read it later.")
@click.option("--config", "path", type=config_file, help="YAML file of the pipeline, where RUN is an id.")
@set_option
def bless(run: str, reason: str, path: str | None, overrides: tuple[str, ...]) -> None:
    """Override a verdict: the next run of the same pipeline pushes what this RUN refused.

    RUN is what `run` names at its end, the id of the Evaluator's execution, or the path of its blessing. Who did it,
    when and why is kept in the pipeline's metadata, in blessing.json and with the registered version.
    """
    if not reason.strip():
        fail(ConfigError("--reason is empty, but those who read it later need one"))
    if path is None and not Path(run).exists():
        fail(ConfigError(f"{run}: is no path of a blessing; for the id of a run give its --config too"))
    config = load(path, overrides) if path else None
    from pipeline import override
    from pipeline.metadata import Metadata

    try:
        metadata = Metadata.of(config) if config else Metadata(override.root_of(run))
        record = override.bless(metadata, run, reason, config.name if config else None)
    except EfficientDetError as error:
        fail(error)
    for sentence in record.reasons:
        click.echo(sentence)
    click.echo(f"{record.outcome}, {record.override}")
    click.echo("run the pipeline again, with nothing changed, to push the model")


def _selection(config: PipelineConfig, first: str | None, only: tuple[str, ...]) -> Selection:
    """What --from and --only choose; ends the process where that is no node."""
    if first and only:
        fail(ConfigError("--from and --only exclude each other; leave one out"))
    selection = Selection(first, only)
    try:
        selection.check(node_names(config))
    except ConfigError as error:
        fail(error)
    return selection


def _make_folders(*folders: Path) -> None:
    """Makes the folders that a run writes to, before it starts."""
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(ConfigError(f"{error.filename}: cannot be made a folder ({error.strerror}); name another"))


def _run(config: PipelineConfig, selection: Selection, wait: bool, screen: RunView | ScreenHandler) -> dict[str, Any]:
    """Runs the pipeline and gathers its summary, whatever happened."""
    with lean_imports():
        from pipeline import local_runner, summary
        from pipeline.metadata import Metadata
        from pipeline.run_history import history, usual_seconds

    failure, name = None, local_runner.new_run()
    try:
        screen.expect(usual_seconds(islice(history(config), RUNS_TO_EXPECT_BY)))
        local_runner.run(config, selection, wait, name)
    except EfficientDetError as error:
        failure = str(error)
    except Exception as error:
        logging.getLogger(__name__).exception("the run failed")
        failure = f"{type(error).__name__}: {' '.join(str(error).split())}"
    metadata = Metadata.of(config)
    if not metadata.begun:
        return summary.never_started(failure or "nothing ran")
    try:
        return summary.summarise(metadata.open(), name, failure)
    except EfficientDetError as error:
        return summary.never_started(failure or str(error))


def _report(result: dict[str, Any], log: Path, with_nodes: bool) -> None:
    """Prints the outcome for a person."""
    from rich.console import Console
    from rich.table import Table

    from efficientdet.infra_blessing import Runtime

    console = Console(highlight=False)
    table = Table("node", "state", "seconds")
    for node in result["nodes"]:
        table.add_row(node["name"], node["state"].lower(), f"{node['seconds']:.1f}")
    if result["nodes"] and with_nodes:
        console.print(table)
    for kind, metrics in result["metrics"].items():
        shown = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items() if value is not None)
        console.print(f"{kind:6}{shown}", soft_wrap=True)
    for runtime in result["runtimes"].values():
        console.print(str(Runtime(**runtime)), markup=False, soft_wrap=True)
    for reason in [*result["reasons"], *_overridden(result["override"])]:
        console.print(reason, markup=False, soft_wrap=True)
    model = result["model"]
    pushed = f": {model['name']} version {model['version']} is now @{model['alias']}" if model else ""
    where = f"run {result['run']}, full log: {log}" if result["run"] else f"full log: {log}"
    console.print(f"{result['outcome']}{pushed}   ({where})", markup=False, soft_wrap=True)


def _overridden(override: dict[str, Any] | None) -> list[str]:
    return [f"overridden by {override['by']}: {override['reason']}"] if override else []
