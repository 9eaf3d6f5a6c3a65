from __future__ import annotations

import importlib.util
from pathlib import Path

from efficientdet.check.inspection import check_splits
from efficientdet.check.split import coco_splits
from efficientdet.config import Config

SCRIPT = Path(__file__).parents[2] / "benchmarks/check_memory.py"


def test_the_data_are_what_the_measurement_is_about(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("check_memory", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.write(tmp_path, 30)
    report = check_splits(coco_splits([(tmp_path / "all.json", tmp_path)]), Config(), fix=tmp_path.parent / "clean")
    assert report.images == 30
    assert report.splits["all"].ledger.boxes.read == 30 * script.BOXES
    assert report.cases["B303"].counts == {"all": 3}, "something to keep of every hundredth box"
    assert not {"D501", "D502", "I202"} & report.cases.keys(), "all pictures differ"
    compile(script.CHECK, "check", "exec")
