"""A registry in another folder, as if it had been made there: MLflow takes seconds to make the tables of a new one."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from efficientdet.registry import Registry, open_registry
from efficientdet.registry.mlflow_client import DATABASE_FILE

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def copy_registry(source: Path, target: Path) -> Registry:
    """The registry of the folder `source` in the new folder `target`, its files included."""
    shutil.copytree(source, target)
    with contextlib.closing(sqlite3.connect(target / DATABASE_FILE)) as database, database:
        for table, column in ADDRESSES:
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(source), str(target)))
    return open_registry(target)
