"""The notebooks as a reader runs them, one after the other, on fewer images and for fewer steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = ("1_data", "2_pipeline", "3_detect")
FEW = {
    "detector.training.max_steps": 8,
    "detector.training.eval_epochs": 0,
    "detector.training.preflight": False,
    "detector.export.calibration_images": 4,
    "detector.model.backbone_weights": "null",
    "detector.nms.score_threshold": 0.0,  # of so short a training the scores are low
    "blessing.floors.AP": 0,
    "blessing.floors.AP50": 0,
    "blessing.max_tflite_drop": 1,
}


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", NAMES)
def test_is_clean_of_outputs(name):
    code = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert code
    assert not [cell.outputs for cell in code if cell.outputs]
    assert {cell.execution_count for cell in code} == {None}


def test_there_are_no_others():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == list(NAMES)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Name to the notebook with its outputs; each runs in a kernel of its own on what those before it left."""
    work = str(tmp_path_factory.mktemp("notebooks"))
    parameters = {
        "1_data": {"work": work, "images": {"train": 12, "eval": 4}},
        "2_pipeline": {"work": work, "settings": [f"{key}={value}" for key, value in FEW.items()]},
        "3_detect": {"registry": f"{work}/registry", "images": f"{work}/data/eval", "score": 0.0},
    }
    return {name: run(name, values) for name, values in parameters.items()}


def run(name: str, parameters: dict[str, Any]) -> Any:
    """The executed notebook, with these values behind its own parameters; a cell that raises is raised here."""
    notebook = read(name)
    (place,) = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    values = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(values))
    return NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(FOLDER)}}).execute()


def outputs(notebook: Any, kind: str) -> list[Any]:
    """What its cells show of a kind: `text`, or a MIME type."""
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [part[kind] for output in shown for part in (output, output.get("data", {})) if kind in part]


@pytest.mark.slow
def test_data_are_checked_and_drawn(executed):
    assert any("16 images;" in text for text in outputs(executed["1_data"], "text"))
    assert len(outputs(executed["1_data"], "image/png")) == 2


@pytest.mark.slow
def test_every_node_runs_and_the_model_is_pushed(executed):
    said = outputs(executed["2_pipeline"], "text")
    assert any("CocoExampleGen > " in text and " > Pusher" in text for text in said)
    assert any(text.startswith("BLESSED") for text in said)
    assert "'pushed': True" in outputs(executed["2_pipeline"], "text/plain")[-1]
    assert len(outputs(executed["2_pipeline"], "image/png")) == 1, "the losses"
    assert any("<iframe" in page for page in outputs(executed["2_pipeline"], "text/html")), "the report"


@pytest.mark.slow
def test_the_model_is_pulled_and_detects(executed):
    assert any("model.tflite" in text for text in outputs(executed["3_detect"], "text"))
    assert any("digits" in text for text in outputs(executed["3_detect"], "text/markdown")), "the model card"
    assert len(outputs(executed["3_detect"], "image/png")) == 1
    assert "'score'" in outputs(executed["3_detect"], "text/plain")[-1]
