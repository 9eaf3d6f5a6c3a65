"""How much memory this machine or container has left."""

from __future__ import annotations

from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
UNKNOWN = 2**62
"""Stands where nothing tells: without bounds."""


def free_memory() -> int:
    """Bytes that are left before the machine or the container's control group is full."""
    return min(_free_of_machine(), _free_of_container())


def _free_of_machine() -> int:
    path = Path("/proc/meminfo")
    lines = dict(line.split(":") for line in path.read_text().splitlines()) if path.is_file() else {}
    return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else UNKNOWN


def _free_of_container() -> int:
    """What the control group allows beyond what it uses (cgroup v2, else v1), pages of files not counted.

    These the kernel takes back when memory is wanted.
    """
    for folder, limit, usage, files in (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        group = CONTROL_GROUPS / folder
        if (group / limit).is_file() and (text := (group / limit).read_text().strip()).isdigit():
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            used = int((group / usage).read_text()) - int(statistics.get(files, 0))
            return max(int(text) - used, 0)
    return UNKNOWN


def readable(size: float) -> str:
    """Bytes in GB or MB, as people read them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
