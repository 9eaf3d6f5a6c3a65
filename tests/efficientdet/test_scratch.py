from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
from efficientdet.scratch import scratch_path
one, other = scratch_path(), scratch_path()
assert one != other and not one.exists()
one.mkdir()
(one / "file").touch()
print(one)
"""


def test_nothing_is_left_when_the_process_ends() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).exists()
