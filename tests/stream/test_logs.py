from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from stream.logs import JsonLines, StderrLines, TextLines, configure, fields


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO, logging.Handler]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.Logger("stream.test")
    logger.addHandler(handler)
    yield logger, stream, handler
    handler.close()


def test_text_is_one_line_with_pairs(log: tuple[logging.Logger, io.StringIO, logging.Handler]) -> None:
    logger, stream, handler = log
    handler.setFormatter(TextLines())
    logger.warning("paused %s\nnow", "x", extra=fields(topic='a "b"', offset=42))
    time, _, rest = stream.getvalue().partition(" ")
    assert time.endswith("Z")
    assert rest == 'WARNING stream.test paused x\\nnow topic="a \\"b\\"" offset="42"\n'


def test_json_is_one_object_per_line(log: tuple[logging.Logger, io.StringIO, logging.Handler]) -> None:
    logger, stream, handler = log
    handler.setFormatter(JsonLines())
    try:
        raise ValueError("by design")
    except ValueError:
        logger.exception("failed", extra=fields(offset=42, level="mine", thing={1}))
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"], line["message"]) == ("error", "stream.test", "failed")
    assert (line["offset"], line["thing"]) == (42, "{1}")
    assert "ValueError: by design" in line["exception"]


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    level = root.level
    yield root
    root.setLevel(level)
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, StderrLines)]


def test_configuring_again_replaces_only_our_handler(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [handler for handler in root_logger.handlers if not isinstance(handler, StderrLines)]
    configure(level="debug")
    configure(level="warning", form="json")
    assert len(root_logger.handlers) == len(others) + 1
    logging.getLogger("stream.test").info("unseen")
    logging.getLogger("stream.test").warning("seen")
    assert json.loads(capsys.readouterr().err)["message"] == "seen"
