"""Apache Kafka's jars: fetched from Maven Central once, each compared with the committed lock file.

``python -m stream.embedded.jars`` resolves the pinned version anew and prints a lock file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stream.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream.embedded.service import Progress

KAFKA_VERSION = "4.3.1"
LOCK = Path(__file__).with_name("kafka-jars.lock")
INSTALL = 'pip install "driftstream[local]"'
_ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_FETCHES_AT_ONCE = 8
_TIMEOUT_SECONDS = 30
_PAUSE_SECONDS = (1.0, 2.0, 4.0)
"""Between attempts to fetch a jar: a name that is not resolved once is no reason to give up."""


class Jar(NamedTuple):
    """One line of the lock file."""

    sha256: str
    coordinate: str

    def path_in(self, repository: Path) -> Path:
        """Where Maven's layout puts the jar."""
        group, artifact, version = self.coordinate.split(":")
        return repository.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def read_lock(path: Path = LOCK) -> list[Jar]:
    """Read a lock file: ``sha256  group:artifact:version`` a line, ``#`` starts a comment."""
    lines = (line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    return [Jar(*words) for words in lines if words]


def jar_repository() -> Path:
    """Give the local Maven repository: ``M2_REPO``, else ``~/.m2/repository``."""
    return Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


def kafka_jars(
    *, lock: Path = LOCK, repository: Path | None = None, progress: Progress | None = None
) -> list[Path]:
    """Give the class path of Apache Kafka, in the lock's order, fetching the jars that are not there yet.

    Raises
    ------
    DependencyError
        A jar is not the locked one, jgo is not installed, or Maven Central cannot be reached.
    """
    repository = repository or jar_repository()
    jars = read_lock(lock)
    if any(not jar.path_in(repository).exists() for jar in jars):
        with _fetching(repository) as staging:
            _fetch_missing(jars, repository, staging, progress)
    for jar in jars:
        _check(jar, jar.path_in(repository), lock)
    return [jar.path_in(repository) for jar in jars]


@contextmanager
def _fetching(repository: Path) -> Iterator[Path]:
    """Hold the repository's fetch lock; give an empty directory on the same disk."""
    staging = repository / ".driftstream-partial"
    try:
        repository.mkdir(parents=True, exist_ok=True)
        guard = (repository / ".driftstream.lock").open("w")
    except OSError as error:
        raise DependencyError(
            f"jar cache {repository} cannot be written ({error.strerror}): set M2_REPO to another directory"
        ) from error
    with guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        shutil.rmtree(staging, ignore_errors=True)
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _fetch_missing(jars: Sequence[Jar], repository: Path, staging: Path, progress: Progress | None) -> None:
    missing = [jar for jar in jars if not jar.path_in(repository).exists()]
    with ThreadPoolExecutor(_FETCHES_AT_ONCE) as pool:
        fetched = [pool.submit(_fetch, jar, repository, staging) for jar in missing]
        try:
            for done, future in enumerate(as_completed(fetched), 1):
                future.result()
                if progress is not None:
                    progress(f"Fetching Apache Kafka {KAFKA_VERSION}, once: {done} of {len(missing)} files")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(jar: Jar, repository: Path, staging: Path) -> None:
    """Fetch one jar; it appears in the repository whole and checked, or not at all."""
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise DependencyError(f"jgo, which fetches Apache Kafka, is not installed: {INSTALL}") from error
    group, artifact, version = jar.coordinate.split(":")
    context = MavenContext(repo_cache=staging, timeout=_TIMEOUT_SECONDS)
    pauses = list(_PAUSE_SECONDS)
    while True:
        try:
            path: Path = context.project(group, artifact).at_version(version).artifact().resolve()
            break
        except (OSError, RuntimeError) as error:
            if not pauses:
                raise DependencyError(
                    f"{jar.coordinate} cannot be fetched from Maven Central ({type(error).__name__}): "
                    "go online once, or use a Kafka of your own"
                ) from error
            time.sleep(pauses.pop(0))
    _check(jar, path, LOCK)
    target = jar.path_in(repository)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)


def _check(jar: Jar, path: Path, lock: Path) -> None:
    found = sha256(path)
    if found != jar.sha256:
        raise DependencyError(
            f"{path} is not the locked {jar.coordinate}: its SHA-256 is {found[:16]}…, {lock.name} says "
            f"{jar.sha256[:16]}…; it is not run. Delete the file to fetch it anew"
        )


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolve_lock() -> str:
    """Resolve the pinned Kafka over Maven's POMs and give the text of its lock file."""
    import jgo

    lines = [
        f"# Class path of Apache Kafka {KAFKA_VERSION}. Written by python -m stream.embedded.jars",
        f"# Resolved from {_ENDPOINT}",
    ]
    for artifact in jgo.resolve(_ENDPOINT):
        coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        lines.append(f"{sha256(artifact.resolve())}  {coordinate}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(resolve_lock())
