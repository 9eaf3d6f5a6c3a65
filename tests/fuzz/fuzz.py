"""Tries to break the two parsers for a while, with atheris: `python tests/fuzz/fuzz.py coco --seconds 300`.

atheris is no part of the locked set: `pip install atheris` (Linux, into an environment that has this package). New
inputs are kept in a folder of the temporary one; an input that breaks a law of `laws.py` is written to `--found`. Mend
the parser, then move the input to `corpus/FORMAT`, where `test_corpus.py` tries it ever after.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

CORPUS = Path(__file__).parent / "corpus"
PARTS = ["json_stream", "coco_index", "coco", "voc", "annotation", "admission", "mask", "ledger", "image_file"]

with atheris.instrument_imports(include=[f"efficientdet.data.{part}" for part in PARTS]):
    import laws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=laws.LAWS)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--found", type=Path, default=Path(), help="folder for inputs that break a law")
    arguments = parser.parse_args()
    arguments.found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder, grown = laws.make_folder(Path(scratch).resolve()), Path(scratch, "grown")
        grown.mkdir()
        law = laws.LAWS[arguments.format]
        options = [
            f"-max_total_time={arguments.seconds}",
            f"-artifact_prefix={arguments.found}/",
            f"-dict={CORPUS / arguments.format}.dict",
            "-max_len=4096",
            "-timeout=60",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
        ]
        inputs = [str(grown), str(CORPUS / arguments.format)]
        atheris.Setup([sys.argv[0], *options, *inputs], lambda data: law(data, folder))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
