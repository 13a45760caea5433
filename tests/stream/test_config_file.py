from __future__ import annotations

from pathlib import Path

import pytest

from stream.errors import ConfigError
from stream.settings.config_file import parse_config, read_config

NAME = Path("driftstream.yaml")


def test_every_path_keeps_its_line() -> None:
    document = parse_config("a:\n  b: 1\n  c:\n    - x\n    - y\nd: {e: 2}\n", NAME)
    assert document.values == {"a": {"b": 1, "c": ["x", "y"]}, "d": {"e": 2}}
    assert document.lines[("a", "b")] == 2
    assert document.lines[("a", "c", 1)] == 5
    assert document.lines[("d", "e")] == 6


def test_keys_are_text_as_written() -> None:
    assert parse_config("no: 1\n12: 2\n2026-01-01: 3\n", NAME).values == {"no": 1, "12": 2, "2026-01-01": 3}


def test_merge_keys_give_way_to_what_is_written_beside_them() -> None:
    text = "base: &base {a: 1, b: 2}\nother: &other {b: 3, c: 4}\nm:\n  b: 9\n  <<: [*base, *other]\n"
    document = parse_config(text, NAME)
    assert document.values["m"] == {"a": 1, "b": 9, "c": 4}
    assert document.lines[("m", "b")] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "driftstream.yaml: is empty"),
        ("# only a comment\n", "driftstream.yaml: is empty"),
        (
            "- a\n- b\n",
            "driftstream.yaml:1: must be a mapping of keys such as kafka, redis and models, not a list",
        ),
        ("text", "driftstream.yaml:1: must be a mapping of keys such as kafka, redis and models, not text"),
        ("a: 1\nb: 2\na: 3\n", "driftstream.yaml:3: key 'a' is given twice, first in line 1"),
        ("a: {b: 1, b: 2}\n", "driftstream.yaml:1: key 'b' is given twice, first in line 1"),
        ("a: 1\n b: 2\n", "driftstream.yaml:2: is not valid YAML: mapping values are not allowed here"),
        ("a: *geheim\n", "driftstream.yaml:1: is not valid YAML: a value that starts with * must be quoted"),
        (
            "a: !geheim x\n",
            "driftstream.yaml:1: is not valid YAML: a value that starts with ! must be quoted",
        ),
        (
            "a: !!python/object:os.system x\n",
            "driftstream.yaml:1: is not valid YAML: a value that starts with !",
        ),
        ("a: &x [*x]\n", "driftstream.yaml:1: an alias contains itself"),
        ("a: 2026-13-45\n", "driftstream.yaml:1: '2026-13-45' must be quoted: month must be in 1..12"),
        ("? [a, b]\n: 1\n", "driftstream.yaml:1: a key must be text"),
        ("m:\n  <<: 3\n", "driftstream.yaml:2: << must name a mapping"),
        ("a: 1\n---\nb: 2\n", "driftstream.yaml:2: is not valid YAML: but found another document"),
        ("a: \x00\n", "driftstream.yaml: is not valid YAML: unacceptable character"),
        ("[" * 5000, "driftstream.yaml: is nested too deeply"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text, NAME)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert "geheim" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"nope.yaml: no such file; pass the configuration with --config FILE"
    ):
        read_config(tmp_path / "nope.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(ConfigError, match=r"latin.yaml: is not UTF-8 text \(byte 3\)"):
        read_config(tmp_path / "latin.yaml")
