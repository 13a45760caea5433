"""``make check`` and ``make audit`` find what they are there to find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def vulnerabilities(*names: str) -> Iterator[str]:
    """A service that knows a vulnerability of each of ``names``, in the words of osv.dev."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            known = {"vulns": [{"id": "PLANTED-1", "modified": "2026-01-01T00:00:00Z"}]}
            self.answer({"results": [known if each["package"]["name"] in names else {} for each in asked]})

        def do_GET(self) -> None:
            times = dict.fromkeys(("modified", "published"), "2026-01-01T00:00:00Z")
            self.answer({"id": "PLANTED-1", "summary": "planted", "affected": [], **times})

        def answer(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def audit(service: str) -> tuple[int, str]:
    run = subprocess.run(
        [ROOT / ".ci/audit"],
        env={**os.environ, "AUDIT_SERVICE": service, "UV_NO_CACHE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def test_a_known_vulnerability_fails_and_no_answer_does_not() -> None:
    with vulnerabilities("pyyaml") as service:
        code, said = audit(service)
    assert (code, "PLANTED-1" in said) == (1, True), said
    code, said = audit(service)  # nobody listens there any more
    assert code == 0, said
    assert said.count("\n") == 2
    assert "audit: not done, the vulnerability service does not answer" in said
    with vulnerabilities() as service:
        assert audit(service)[1].endswith("audit: no known vulnerability\n")
    parts = {each["name"] for each in json.loads((ROOT / "build/sbom.json").read_text())["components"]}
    assert {"confluent-kafka", "redis", "numpy", "faust-streaming"} <= parts
    assert not parts & {"pytest", "evidently"}


def test_what_must_not_be_in_the_code_is_found(tmp_path: Path) -> None:
    bad = ["pickle.loads(data)", "yaml.load(data)", "subprocess.run(data, shell=True)", "hashlib.md5(data)"]
    planted = tmp_path / "planted.py"
    planted.write_text("\n".join(["import hashlib, pickle, subprocess, yaml", *bad, ""]))
    bandit = [sys.executable, "-m", "bandit", "--quiet", "--configfile", ROOT / ".bandit.yml"]
    found = subprocess.run([*bandit, planted], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert [number for number in range(2, 6) if f"planted.py:{number}:" not in found.stdout] == []
