"""The snippets of docs/security.md are configurations that a worker takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stream.settings.configuration import load_settings
from stream.settings.security_section import LINKS
from stream.transport import require_private

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_is_a_configuration_and_needs_no_permission(snippet: str, tmp_path: Path) -> None:
    config = tmp_path / "driftstream.yaml"
    config.write_text(snippet)
    given = dict(re.findall(r"(DRIFTSTREAM_\w+_FILE)=?(/run/\S+)?", snippet))
    secret = tmp_path / "secret"
    secret.write_text("a secret of the test\n")
    settings = load_settings(config, environ=dict.fromkeys(given, str(secret)))
    for link in LINKS:
        require_private(settings, link)


def test_the_page_names_tests_that_are_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", PAGE))
    assert len(named) >= 9
    assert named <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}
