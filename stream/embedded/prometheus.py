"""A real Prometheus that scrapes what it is given: the one on PATH."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from stream.embedded.ports import LOOPBACK, accepts
from stream.embedded.service import Progress, Service
from stream.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

_INSTALL = "apt install prometheus"
_TIMEOUT_SECONDS = 10.0
_LOOK_EVERY_SECONDS = 0.1


class EmbeddedPrometheus(Service):
    """One Prometheus on a free loopback port, for tests and the demo.

    Parameters
    ----------
    targets
        What to scrape: addresses, all in the job ``driftstream``, or a mapping of job name to addresses.
    rules
        Files with recording and alerting rules.
    scrape_interval
        How often targets are scraped and rules are evaluated, in Prometheus's own words.
    directory
        Where data, configuration and log live; kept. None: a temporary one, removed when closed.
    progress
        Called with a line of text when the server is started.
    """

    title: ClassVar[str] = "prometheus"
    slug: ClassVar[str] = "prometheus"

    def __init__(
        self,
        targets: Sequence[str] | Mapping[str, Sequence[str]],
        *,
        rules: Sequence[str | Path] = (),
        scrape_interval: str = "1s",
        directory: str | Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(directory=directory, ports=("prometheus",), progress=progress)
        self._configuration = prometheus_configuration(
            targets, rules=[Path(rule).absolute() for rule in rules], scrape_interval=scrape_interval
        )

    @property
    def url(self) -> str:
        """Address of the server, once started."""
        return f"http://{LOOPBACK}:{self.ports['prometheus']}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate a PromQL expression now; give its series, each with ``metric`` and ``value``.

        Raises
        ------
        DependencyError
            The server does not answer or refuses the expression.
        """
        result = self.get("query", query=expression)["result"]
        assert isinstance(result, list)
        return result

    def wait_for(self, expression: str, timeout_seconds: float = 30.0) -> list[dict[str, Any]]:
        """Wait until the expression gives a series, and give what it gives."""
        deadline = time.monotonic() + timeout_seconds
        while not (found := self.query(expression)):
            if time.monotonic() > deadline:
                raise DependencyError(
                    f"{expression} gives nothing after {timeout_seconds:.0f} s at {self.url}"
                )
            time.sleep(_LOOK_EVERY_SECONDS)
        return found

    def get(self, endpoint: str, **parameters: str) -> Any:
        """Call ``/api/v1/<endpoint>``; give the ``data`` of its answer."""
        url = f"{self.url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # nosec B310 # http, loopback
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise DependencyError(f"prometheus refuses {url}: {error.read().decode()[:300]}") from error
        except OSError as error:
            raise DependencyError(f"prometheus at {self.url} does not answer: {error}") from error

    def _command(self) -> Sequence[str]:
        executable = _on_path("prometheus")
        self._say(f"Starting {executable}")
        configuration = self.directory / "prometheus.yml"
        configuration.write_text(yaml.safe_dump(self._configuration, sort_keys=False))
        return [
            executable,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={LOOPBACK}:{self.ports['prometheus']}",
        ]

    def _serves(self) -> bool:
        if not accepts(self.ports["prometheus"]):
            return False
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=_TIMEOUT_SECONDS):  # nosec B310 # http, loopback
                data = self.get("status/flags")["storage.tsdb.path"]
        except (OSError, DependencyError):
            return False
        return bool(data == str(self.directory / "data"))


def prometheus_configuration(
    targets: Sequence[str] | Mapping[str, Sequence[str]], *, rules: Sequence[Path], scrape_interval: str
) -> dict[str, Any]:
    """Give Prometheus's configuration file as data: one scrape job per name in ``targets``."""
    jobs: Mapping[str, Sequence[str]]
    jobs = targets if isinstance(targets, Mapping) else {"driftstream": targets}
    return {
        "global": {"scrape_interval": scrape_interval, "evaluation_interval": scrape_interval},
        "rule_files": [str(rule) for rule in rules],
        "scrape_configs": [
            {
                "job_name": job,
                "scrape_timeout": scrape_interval,
                "static_configs": [{"targets": list(addresses)}],
            }
            for job, addresses in jobs.items()
        ],
    }


def promtool_path() -> str:
    """Give the path of promtool; DependencyError when it is not on PATH."""
    return _on_path("promtool")


def _on_path(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise DependencyError(f"{name} is not on PATH: {_INSTALL}")
