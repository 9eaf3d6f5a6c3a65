"""Every format that a config can name has a place of its own."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from efficientdet.bundle import variants
from efficientdet.export_format import FORMATS
from efficientdet.format_name import FormatName


def test_every_name_of_the_config_is_a_format_with_a_place_of_its_own() -> None:
    assert tuple(FORMATS) == get_args(FormatName)
    assert len({kind.place for kind in FORMATS.values()}) == len(FORMATS)


def test_int8_is_calibrated_and_nothing_else() -> None:
    assert all(kind.calibrated == (kind.numbers == "int8") for kind in FORMATS.values())


def test_a_bundle_names_its_tflite_files_as_the_formats_do(tmp_path: Path) -> None:
    for kind in FORMATS.values():
        (tmp_path / kind.place).touch()
    files = {f"tflite_{variant}": path.name for variant, path in variants(tmp_path).items() if variant != "float"}
    assert files == {name: kind.place for name, kind in FORMATS.items() if kind.runtime == "tflite"}
