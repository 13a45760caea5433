"""The pages: every command, option, link, key and dependency that they name exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from stream.alerts import KINDS
from stream.cli import app
from stream.keys import ModelKeys, PartitionKeys
from stream.settings.reference_page import configuration_page
from stream.settings.sections import TopicSettings
from stream.watermarks import PartitionClock, WatermarkTracker
from stream.windows import OpenWindows, WindowSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def code(page: Path) -> Iterator[str]:
    """Lines of fenced blocks (continued lines joined) and inline code."""
    text = page.read_text().replace("\\\n", " ")
    for _, block in BLOCK.findall(text):
        yield from (line.strip().removeprefix("$ ") for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_are_ours(page: Path) -> None:
    for line in code(page):
        words = line.split()
        if words[:1] != ["driftstream"] or len(words) < 2 or not re.fullmatch(r"[a-z]+|--[a-z-]+", words[1]):
            continue
        command: Any = typer.main.get_command(app)
        for word in words[1:]:
            if word.startswith("-") or not hasattr(command, "commands"):
                break
            alternatives = [name for name in word.split("|") if re.fullmatch("[a-z]+", name)]
            assert set(alternatives) <= set(command.commands), line
            command = command.commands[alternatives[0]]
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_redis_keys_in_the_runbooks_are_ours() -> None:
    partition, model = PartitionKeys("ds", "inference", 0), ModelKeys("ds", "M")
    ours = {partition.cursor, partition.open, partition.outbox, model.state, model.outbox, model.journal}
    named = {key for page in PAGES for key in re.findall(r"'(ds:[^']*)'", page.read_text())}
    assert named
    assert named <= ours


def test_programs_in_the_runbooks_are_known() -> None:
    ours = {"driftstream", "redis-cli", "kafka-console-consumer.sh"}
    for page in (ROOT / "docs/runbooks").glob("*.md"):
        for language, text in BLOCK.findall(page.read_text()):
            assert language == "sh"
            assert {line.split()[0] for line in text.splitlines()} <= ours, page


def rows(heading: str, text: str = README) -> list[list[str]]:
    """Cells of the tables under a heading."""
    section = text.split(f"## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def test_every_dependency_is_named_with_its_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    wanted = [*project["project"]["dependencies"], *(name for extra in extras for name in extra)]
    wanted += project["dependency-groups"]["dev"]
    table = " ".join(" ".join(row) for row in rows("What each dependency is for"))
    names = [re.split(r"[^\w-]", requirement)[0] for requirement in wanted]
    assert [name for name in names if not re.search(rf"\b{name}\b", table)] == []


def test_topics_and_alert_kinds_are_all_named() -> None:
    topics = {name for row in rows("Topics") for name in re.findall(r"^`([^`]+)`", row[0])}
    names = TopicSettings()
    inputs = set(names.inputs)
    assert topics == {name for name in names.all if not name.endswith(names.dlq_suffix)} | {"<input>.dlq"}
    assert inputs <= topics
    kinds = {name for row in rows("Alerts out") for name in re.findall(r"^`([^`]+)`", row[0])}
    assert kinds == set(KINDS)


def test_defaults_are_those_of_the_configuration() -> None:
    page, defaults = configuration_page(), {}
    for section, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL):
        for key, default in re.findall(r"^\| `(\w+)` \| `?([^`|]*?)`? \|", text, re.MULTILINE):
            defaults[f"{section}.{key}"] = default
    for keys, shown, _ in rows("Configuration")[2:]:
        names = re.findall(r"`([^`]+)`", keys)
        section = names[0].partition(".")[0]
        told = [each.strip("` ") for each in shown.split(", ")]
        full = [name if not name.startswith(".") else f"{section}{name}" for name in names]
        known = [(name, value) for name, value in zip(full, told, strict=False) if name in defaults]
        assert all(value in (defaults[name], "1m") for name, value in known), (known, keys)
        assert known or "*" in keys or "NAME" in keys, keys


def test_the_table_of_watermarks_is_what_happens() -> None:
    spec = WindowSpec(size_ms=10_000, slide_ms=10_000, grace_ms=5_000)
    tracker, open_windows, closed = WatermarkTracker(), OpenWindows(spec), set()
    marks: list[int | None] = [None, None]
    beats = [0, 0]
    table = rows("Windows and watermarks", (ROOT / "docs/architecture.md").read_text())
    for what, *shown in table[2:]:
        partition = int(what.removeprefix("partition ")[0])
        if "event at" in what:
            ts_ms = int(what.rpartition(" ")[2]) * 1000
            marks[partition], beats[partition] = max(marks[partition] or 0, ts_ms - 5_000), 0
            open_windows.add(spec.pane_start(ts_ms) + spec.size_ms)
            open_windows.discard(closed)
        else:
            beats[partition] += 1
        clocks = {p: PartitionClock(marks[p], beats[p]) for p in (0, 1)}
        seen = tracker.observe(clocks, monotonic_ms=0, now_ms=0)
        ends = open_windows.closed_by(seen.ms)
        open_windows.discard(ends)
        closed.update(ends)
        got = ["-" if ms is None else str(ms // 1000) for ms in (*marks, seen.ms)]
        assert [*got, " ".join(f"[{e // 1000 - 10}, {e // 1000})" for e in ends)] == shown, what
