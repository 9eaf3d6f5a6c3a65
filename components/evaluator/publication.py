"""What an evaluation leaves for people: its report, and the score from which each class is worth showing."""

from __future__ import annotations

from pathlib import Path

from components.evaluator.record import SCORED_FOLDER
from efficientdet.atomic_file import write_json
from efficientdet.best_threshold import FILE_NAME as THRESHOLDS_FILE
from efficientdet.blessing import Blessing
from efficientdet.data import ledger
from efficientdet.label_map import LabelMap
from efficientdet.report.page import FILE_NAME as REPORT_FILE
from efficientdet.report.page import write_report
from efficientdet.report.pictures import stored_pictures
from efficientdet.scored_image import read_scored_images


def publish(evaluation: str, examples: str, pattern: str, label_map: LabelMap, record: Blessing) -> None:
    """Writes `report.html`, and by variant and class name the best thresholds, into the folder `evaluation`.

    Args:
      evaluation: where the images lie that were scored.
      examples: the artifact's folder, whose ledger is shown.
      pattern: the split's shards, where the pictures come from.
      label_map: names the classes.
      record: the verdict.
    """
    scored = Path(evaluation) / SCORED_FOLDER
    known = ledger.load(examples) if (Path(examples) / ledger.FILE_NAME).is_file() else None
    thresholds = write_report(
        Path(evaluation) / REPORT_FILE,
        read_scored_images(scored) if scored.is_dir() else [],
        label_map,
        pictures=stored_pictures(pattern),
        blessing=record,
        ledger=known,
        title=f"Evaluation on {record.split}",
    )
    named = {
        variant: {label_map[class_id].name: threshold for class_id, threshold in best.items()}
        for variant, best in thresholds.items()
        if variant in record.metrics
    }
    write_json(Path(evaluation) / THRESHOLDS_FILE, named)
