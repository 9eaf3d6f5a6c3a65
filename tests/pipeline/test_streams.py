"""Standard streams of this process and its children, led elsewhere and back."""

from __future__ import annotations

import os
import subprocess
import sys

from pipeline.streams import STDERR, STDOUT, led_into


def test_all_that_is_written_goes_there_and_afterwards_here(tmp_path, capfd):
    with (tmp_path / "said").open("ab") as file, led_into(file, STDOUT, STDERR) as before:
        os.write(STDERR, b"native\n")
        subprocess.run(["echo", "child"], check=True)
        os.write(before[STDOUT], b"seen\n")
    print("after", file=sys.stderr)
    assert sorted((tmp_path / "said").read_text().split()) == ["child", "native"]
    assert capfd.readouterr() == ("seen\n", "after\n")


def test_an_error_leads_them_back(tmp_path, capfd):
    try:
        with (tmp_path / "said").open("ab") as file, led_into(file, STDERR):
            raise OSError
    except OSError:
        os.write(STDERR, b"after\n")
    assert capfd.readouterr().err == "after\n"
