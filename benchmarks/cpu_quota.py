"""A share of a core for a process, as a container's CPU limit gives it (control groups of Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PERIOD_US = 100_000
_V1 = Path("/sys/fs/cgroup/cpu")
_V2 = Path("/sys/fs/cgroup")


@contextmanager
def cpu_quota(name: str, cores: float) -> Iterator[Path]:
    """Make a control group whose processes together get so many ``cores``; :func:`hold` puts one in.

    Linux shares out processor time by periods, here of 100 ms as Docker and Kubernetes have them: who has
    used up the share waits for the next.

    Raises
    ------
    RuntimeError
        Control groups cannot be made here: that takes Linux and root.
    """
    group = (_V1 if _V1.is_dir() else _V2) / f"{name}-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise RuntimeError(
            f"--worker-cpus {cores:g}: no control group {group} ({error.strerror}), run it as root on Linux"
        ) from None
    try:
        _limit(group, cores)
        yield group
    finally:
        group.rmdir()


def can_limit() -> bool:
    """Whether control groups can be made and limited here."""
    try:
        with cpu_quota("driftstream-can-limit", 1.0):
            return True
    except RuntimeError:
        return False


def _limit(group: Path, cores: float) -> None:
    quota_us = round(cores * PERIOD_US)
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        return
    try:
        (group.parent / "cgroup.subtree_control").write_text("+cpu")
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
    except OSError as error:
        raise RuntimeError(
            f"--worker-cpus {cores:g}: {group} takes no limit ({error.strerror}), run it as root on Linux"
        ) from None


def hold(group: Path, pid: int) -> None:
    """Put a process, with all its threads, into ``group``; it leaves when it ends."""
    (group / "cgroup.procs").write_text(str(pid))
