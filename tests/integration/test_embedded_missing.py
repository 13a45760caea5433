"""What the test run says about a service that cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = Path(__file__).with_name("test_embedded_prometheus.py")


def run_without_prometheus(empty: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "REQUIRE_SERVICES"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(TESTS)],
        env={**kept, "PATH": str(empty), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_left_out_tests_are_named_in_one_line(tmp_path: Path) -> None:
    run = run_without_prometheus(tmp_path)
    assert run.returncode == 0, run.stdout
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("left out")]
    assert line.startswith("left out 3 tests, prometheus: not on PATH (Debian: apt install prometheus)")
    assert "test_refused_expression_says_why" in line


def test_left_out_tests_fail_where_services_are_required(tmp_path: Path) -> None:
    run = run_without_prometheus(tmp_path, REQUIRE_SERVICES="1")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "REQUIRE_SERVICES=1, but prometheus is not here: not on PATH" in run.stdout
    assert "3 errors" in run.stdout
