from __future__ import annotations

import shutil
import socketserver
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from stream.embedded import jars, kafka_jars
from stream.embedded.jars import KAFKA_VERSION, LOCK, Jar, read_lock, sha256
from stream.errors import DependencyError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one small jar in it."""
    path = Jar("", "org.example:one:1.0").path_in(tmp_path / "repository")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"jar")
    return tmp_path / "repository"


def lock_of(tmp_path: Path, *lines: str) -> Path:
    lock = tmp_path / "jars.lock"
    lock.write_text("# comment\n" + "\n".join(lines) + "\n")
    return lock


def test_committed_lock_pins_every_jar_by_digest() -> None:
    jars = read_lock()
    assert len(jars) == 46
    assert all(len(jar.sha256) == 64 and jar.coordinate.count(":") == 2 for jar in jars)
    assert jars[0].coordinate == f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"


def test_jar_with_the_locked_digest_is_given(repository: Path, tmp_path: Path) -> None:
    jar = repository / "org/example/one/1.0/one-1.0.jar"
    lock = lock_of(tmp_path, f"{sha256(jar)}  org.example:one:1.0")
    assert kafka_jars(lock=lock, repository=repository) == [jar]


def test_jar_with_another_digest_is_refused_by_name(repository: Path, tmp_path: Path) -> None:
    lock = lock_of(tmp_path, f"{'0' * 64}  org.example:one:1.0")
    with pytest.raises(
        DependencyError, match=r"one-1\.0\.jar is not the locked org\.example:one:1\.0"
    ) as caught:
        kafka_jars(lock=lock, repository=repository)
    assert "Delete the file" in str(caught.value)


@pytest.mark.services
def test_real_jar_is_refused_when_its_line_in_the_lock_is_edited(
    kafka_parts: list[Path], tmp_path: Path
) -> None:
    jar = read_lock()[3]
    lock = tmp_path / LOCK.name
    shutil.copy(LOCK, lock)
    lock.write_text(lock.read_text().replace(jar.sha256, jar.sha256[::-1]))
    with pytest.raises(DependencyError, match=f"is not the locked {jar.coordinate}"):
        kafka_jars(lock=lock)


def test_missing_jar_without_jgo_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    lock = lock_of(tmp_path, f"{'0' * 64}  org.example:two:1.0")
    with pytest.raises(DependencyError, match=r'jgo.* is not installed: pip install "driftstream\[local\]"'):
        kafka_jars(lock=lock, repository=tmp_path)


def test_missing_jar_without_network_is_tried_again_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jgo")
    monkeypatch.setattr(jars, "_PAUSE_SECONDS", (0.0, 0.0))
    attempts: list[str] = []

    class Closes(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            attempts.append(self.request.recv(100).decode().split()[0])

    lock = lock_of(tmp_path, f"{'0' * 64}  org.example:two:1.0")
    with socketserver.TCPServer(("127.0.0.1", 0), Closes) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
        with pytest.raises(
            DependencyError, match=r"org\.example:two:1\.0 cannot be fetched from Maven Central"
        ):
            kafka_jars(lock=lock, repository=tmp_path)
        proxy.shutdown()
    assert attempts == ["CONNECT"] * 3


def test_cache_that_cannot_be_written_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lock = lock_of(tmp_path, f"{'0' * 64}  org.example:two:1.0")
    with pytest.raises(DependencyError, match=r"jar cache .*file cannot be written .*: set M2_REPO"):
        kafka_jars(lock=lock, repository=tmp_path / "file")
