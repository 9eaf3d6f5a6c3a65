"""What a local pipeline takes beside its work: to start, to find everything cached, and around training and scoring.

    python benchmarks/pipeline_overhead.py [--config pipeline/configs/demo.yaml] [--epochs 1] [--rounds 3]

The demo's data are made and its pipeline run once in an empty folder, for as many epochs as asked for, then again with
nothing changed, each in a process of its own. In the same rounds a bare `import tfx.v1` is timed, below which no TFX
pipeline can start; ratios are to its median. Overhead is what the first run takes beyond its Trainer and Evaluator.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

WORK = ("Trainer", "Evaluator")
FIRST_NODE = re.compile(r"^(\S+ \S+) .* Component (\S+) is running\.$", re.MULTILINE)


@click.command()
@click.option("--config", default="pipeline/configs/demo.yaml", show_default=True, type=click.Path(exists=True))
@click.option("--epochs", default=1, show_default=True, help="Of training.")
@click.option("--rounds", default=3, show_default=True, help="Turns of the import and the cached run.")
def main(config: str, epochs: int, rounds: int) -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pipeline = Pipeline(config, folder, epochs)
        first = pipeline.run()
        imports, cached = [], []
        for _ in range(rounds):
            imports.append(seconds([sys.executable, "-c", "import tfx.v1"]))
            cached.append(pipeline.run())
    Console(width=120).print(table(first, imports, cached))


class Pipeline:
    """One pipeline in a folder of its own."""

    def __init__(self, config: str, folder: Path, epochs: int) -> None:
        self._folder = folder
        demo = "from efficientdet.data.demo import write_demo_data as w; import sys; w(sys.argv[1])"
        command([sys.executable, "-c", demo, str(folder / "data")])
        settings = {
            "root": folder / "run",
            "source.path": folder / "data",
            "registry.uri": folder / "registry",
            "detector.training.epochs": epochs,
            "blessing.floors": "{AP: 0.0}",  # what a short training learns is not what is looked at
        }
        sets = [word for pair in settings.items() for word in ("--set", "=".join(map(str, pair)))]
        summary = ["--summary", str(folder / "summary.json")]
        self._command = [sys.executable, "-m", "pipeline", "run", "--config", config, *summary, *sets]

    def run(self) -> dict[str, Any]:
        """The run's summary, with `total` and `start`, the seconds to its end and to its first node."""
        began = time.time()
        total = seconds(self._command)
        log = max((self._folder / "run/logs").glob("*.log")).read_text()
        announced = FIRST_NODE.search(log)
        assert announced, "the log tells of no node"
        start = datetime.strptime(announced[1], "%Y-%m-%d %H:%M:%S,%f").timestamp() - began
        return json.loads((self._folder / "summary.json").read_text()) | {"total": total, "start": start}


def command(words: Sequence[str]) -> None:
    """Runs it quietly; what it said is shown when it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    # Exit code 3: the model is not blessed, which an epoch seldom earns.
    if done.returncode not in (0, 3):
        raise click.ClickException(f"{' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def seconds(words: Sequence[str]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    command(words)
    return time.perf_counter() - began


def table(first: dict[str, Any], imports: Sequence[float], cached: Sequence[dict[str, Any]]) -> Table:
    """Medians, and their ratios to the import's."""
    work = sum(node["seconds"] for node in first["nodes"] if node["name"] in WORK)
    limit = statistics.median(imports)
    rows = {
        "import tfx.v1": limit,
        "to the first node": statistics.median([first["start"], *(run["start"] for run in cached)]),
        "fully cached run": statistics.median(run["total"] for run in cached),
        f"first run without {' and '.join(WORK)}": first["total"] - work,
    }
    found = Table("", "seconds", "/ import", title="What a pipeline takes beside its work")
    for name, value in rows.items():
        found.add_row(name, f"{value:.1f}", f"{value / limit:.1f}")
    for node in first["nodes"]:
        found.add_row(f"  {node['name']}", f"{node['seconds']:.1f}", "")
    uncached = {node["name"] for run in cached for node in run["nodes"] if not node["cached"]}
    found.caption = f"not from the cache in later runs: {', '.join(sorted(uncached))}" if uncached else ""
    return found


if __name__ == "__main__":
    main()
