"""The smallest configuration file, and what a file and an environment together give."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.errors import ConfigError
from stream.settings.configuration import Settings, load_settings

SMALLEST = """\
kafka:
  bootstrap.servers: 127.0.0.1:9092
redis:
  url: redis://127.0.0.1:6379/0
models:
  loan-approval:
    references: [references/loan-approval-v2.json]
    min_effect: 0.1
"""


def settings_of(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "driftstream.yaml"
    path.write_text(text)
    return load_settings(path, environ)


def error_of(tmp_path: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as error:
        settings_of(tmp_path, text, **environ)
    assert error.value.exit_code == 2
    return str(error.value).replace(f"{tmp_path}/", "")
