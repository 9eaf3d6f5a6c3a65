"""Draws the loss and the AP of finished or running trainings over their steps.

python benchmarks/learning_curves.py name=LOGS ... --output curves.png, LOGS being a folder of TensorBoard's event files
"""

from __future__ import annotations

from pathlib import Path

import click
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

CURVES = {"loss/loss": "loss without L2", "eval/AP": "AP of the eval split", "eval/AP50": "AP50 of the eval split"}


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="NAME=LOGS...")
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The PNG to write.")
def main(runs: tuple[str, ...], output: Path) -> None:
    """One panel per curve, one line per run; prints the last value of each."""
    figure, panels = plt.subplots(1, len(CURVES), figsize=(4 * len(CURVES), 3.2), layout="constrained")
    for run in runs:
        name, _, folder = run.partition("=")
        values = scalars(Path(folder))
        for panel, (tag, title) in zip(panels, CURVES.items(), strict=True):
            steps = sorted(values.get(tag, {}))
            panel.plot(steps, [values[tag][step] for step in steps], label=name)
            panel.set(title=title, xlabel="step")
            if steps:
                click.echo(f"{name}: {title} {values[tag][steps[-1]]:.3f} after {steps[-1]} steps")
    panels[0].legend()
    figure.savefig(output, dpi=110)


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Tag to step to value, of all event files in a folder."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    found: dict[str, dict[int, float]] = {}
    for tag in set(events.Tags()["tensors"]) & set(CURVES):
        found[tag] = {e.step: float(tensor_util.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}
    if not found:
        raise click.ClickException(f"{folder}: holds no losses; give the folder of a run's event files")
    return found


if __name__ == "__main__":
    main()
