"""Shares of a core for workers that are measured side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks import cpu_quota as quota


def test_without_control_groups_the_option_and_the_remedy_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(quota, "_V1", tmp_path / "cpu")
    monkeypatch.setattr(quota, "_V2", tmp_path / "none" / "none")
    with (
        pytest.raises(RuntimeError, match=r"--worker-cpus 0\.3: .* run it as root on Linux"),
        quota.cpu_quota("x", 0.3),
    ):
        pytest.fail("nothing to run in")
    assert not quota.can_limit()


@pytest.mark.skipif(
    not os.access("/sys/fs/cgroup/cpu", os.W_OK), reason="control groups of version 1, as root"
)
def test_a_process_gets_its_share_and_leaves_nothing_behind():
    with quota.cpu_quota("driftstream-test", 0.1) as group:
        child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            quota.hold(group, child.pid)
            process = psutil.Process(child.pid)
            while not throttled(group):
                assert process.is_running()
        finally:
            child.kill()
            child.wait()
    assert not group.exists()
    assert quota.can_limit()


def throttled(group: Path) -> int:
    rows = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(rows["nr_throttled"])
