"""People planted in the traffic of a model with labels, and what of them may be kept where."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from redis import Redis

from detectors import Reference
from stream.learning.reference_building import EventColumns, build_named
from stream.settings.privacy_section import PrivacySettings
from tests.security.rights import PAGE

if TYPE_CHECKING:
    from tests.integration.pipeline import Pipeline

KEY = "the key of the ids"
FIELDS = {"town": "hash", "mail": "mask"}


def private_rows(path: Path) -> dict[str, list[Any]]:
    """Rows of a model with labels, whose people are planted in two of its features."""
    rng = np.random.default_rng(7)
    score = np.round(rng.uniform(size=600), 3)
    rows: dict[str, list[Any]] = {
        "x": rng.normal(size=600).tolist(),
        "town": rng.choice(["planted-Ulm", "planted-Jena"], size=600).tolist(),
        "mail": [f"planted-{i}@example.org" for i in range(600)],
        "score": score.tolist(),
        "said": np.where(score > 0.5, "yes", "no").tolist(),
        "y": np.where(rng.uniform(size=600) < score, "yes", "no").tolist(),
    }
    path.write_text(
        "\n".join([",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))])
    )
    return rows


def private_reference() -> Reference:
    rows = private_rows(Path(os.devnull))
    columns = EventColumns(
        features={name: rows[name] for name in ("x", "town", "mail")},
        prediction=rows["said"],
        score=rows["score"],
        label=rows["y"],
    )
    privacy = PrivacySettings.model_validate({"id_key": KEY, "fields": FIELDS}).field_privacy
    return build_named(columns, window_rows=50, times_ms=None, privacy=privacy, model="m", version="v1")


def contents(client: Redis, name: bytes) -> bytes:
    """Everything that a key holds."""
    kind = client.type(name)
    if kind == b"hash":
        return b"\n".join(part for pair in client.hgetall(name).items() for part in pair)
    if kind == b"zset":
        return b"\n".join(client.zrange(name, 0, -1))
    return b"\n".join(client.lrange(name, 0, -1)) if kind == b"list" else client.get(name) or b""


def assert_kept_as_promised(pipeline: Pipeline) -> None:
    """Every key of Redis expires, or the page names it; none holds an id or a value that a rule changes."""
    rows = re.findall(r"^\| `ds:(\S+)` \|", PAGE, re.MULTILINE)
    assert len(rows) == 16
    known = [re.compile(re.sub("TOPIC|P(?=})|M(?=})", "[^:]+", row.replace("{", r"\{"))) for row in rows]
    with Redis.from_url(pipeline.redis_url) as client:
        names = list(client.scan_iter(match=f"{pipeline.prefix}:*", count=1_000))
        kinds = {name.decode().removeprefix(pipeline.prefix + ":"): client.pttl(name) for name in names}
        forever = [name for name, ttl_ms in kinds.items() if ttl_ms < 0]
        assert [name for name in forever if not any(each.fullmatch(name) for each in known)] == []
        assert {name.rpartition(":")[2] for name in forever} >= {
            "cursor",
            "state",
            "join",
            "learning",
            "strata",
        }
        assert any(":pending:" in name for name in kinds)
        assert any(":pane:" in name for name in kinds)
        everything = b"\n".join([*names, *(contents(client, name) for name in names)])
    letters = pipeline.reader("inference.dlq").poll()
    assert [letter.value() for letter in letters] == [b""]
    everything += b"\n".join(bytes(value) for _, value in letters[0].headers() or [])
    for role in ("metrics", "alerts"):
        everything += b"\n".join(record.value() or b"" for record in pipeline.reader(role).poll())
    assert b"***" in everything or b"#" in everything
    assert b"planted" not in everything
