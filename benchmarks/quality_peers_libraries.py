"""Evidently, NannyML and alibi-detect themselves. Run by the Python of the peers' own venv, as a plain file.

It imports nothing of this project. On standard input it takes one job a line, JSON: a directory with
``reference.npz`` and ``windows.npz``, the rows of a window, the numeric and the categorical columns. On
standard output it first says the versions, then for every job and library the columns named in each window,
whether the library's own rule for the whole window alarms, and the CPU time of each window.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from alibi_detect.cd import TabularDrift  # noqa: E402
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402
from nannyml import UnivariateDriftCalculator  # noqa: E402

Names = list[str]
Word = tuple[Names, bool]
Parts = list[pd.DataFrame]


class Job:
    """A reference and the windows that follow it."""

    def __init__(self, order: dict[str, Any]) -> None:
        directory = Path(order["directory"])
        self.reference = _table(directory / "reference.npz")
        self.windows = _table(directory / "windows.npz")
        self.rows: int = order["rows"]
        self.numeric: Names = order["numeric"]
        self.categories: Names = order["categories"]

    def parts(self) -> Parts:
        """Cut the windows."""
        return [
            self.windows.iloc[start : start + self.rows].reset_index(drop=True)
            for start in range(0, len(self.windows), self.rows)
        ]


def _table(path: Path) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as columns:
        return pd.DataFrame(
            {
                name: values.astype(object) if values.dtype.kind == "U" else values
                for name, values in columns.items()
            }
        )


def evidently(job: Job) -> Iterator[Word]:
    """Run the preset's report; its tests carry the verdicts."""
    definition = DataDefinition(numerical_columns=job.numeric, categorical_columns=job.categories)
    reference = Dataset.from_pandas(job.reference, definition)
    for part in job.parts():
        report = Report([DataDriftPreset()], include_tests=True)
        tests = report.run(Dataset.from_pandas(part, definition), reference).dict()["tests"]
        failed = [test["metric_config"]["params"] for test in tests if test["status"] == "FAIL"]
        names = [params["column"] for params in failed if "column" in params]
        yield names, any("drift_share" in params for params in failed)


def nannyml(job: Job) -> Iterator[Word]:
    """Fit on the reference and calculate window by window."""
    calculator = UnivariateDriftCalculator(
        column_names=[*job.numeric, *job.categories],
        treat_as_numerical=job.numeric,
        treat_as_categorical=job.categories,
        chunk_size=job.rows,
    )
    calculator.fit(job.reference)
    for part in job.parts():
        found = calculator.calculate(part).filter(period="analysis").to_df()
        alerts = found.xs("alert", axis=1, level=-1).iloc[-1]
        names = [key[0] for key, alert in alerts.items() if alert]
        yield names, bool(names)


def alibi(job: Job) -> Iterator[Word]:
    """Test every window; categories are handed over as numbers."""
    codes = {
        name: pd.Index(pd.concat([job.reference[name], job.windows[name]]).unique())
        for name in job.categories
    }

    def numbers(frame: pd.DataFrame) -> Any:
        return frame.assign(**{name: index.get_indexer(frame[name]) for name, index in codes.items()})[
            columns
        ].to_numpy(dtype=float)

    columns = [*job.numeric, *job.categories]
    given = dict.fromkeys(range(len(job.numeric), len(columns))) or None
    detector = TabularDrift(numbers(job.reference), p_val=0.05, categories_per_feature=given)
    for part in job.parts():
        data = detector.predict(numbers(part))["data"]
        names = [name for name, p in zip(columns, data["p_val"], strict=True) if p < data["threshold"]]
        yield names, bool(data["is_drift"])


LIBRARIES: dict[str, Callable[[Job], Iterator[Word]]] = {
    "evidently": evidently,
    "nannyml": nannyml,
    "alibi-detect": alibi,
}


def run(job: Job) -> dict[str, Any]:
    """Return every library's words, and milliseconds of CPU of each window but the first, which also fits."""
    answers: dict[str, Any] = {}
    for library, judge in LIBRARIES.items():
        words, cpu_ms = list[Word](), list[float]()
        start = time.process_time()
        for word in judge(job):
            words.append(word)
            cpu_ms.append(1000.0 * (time.process_time() - start))
            start = time.process_time()
        answers[library] = {
            "names": [sorted(names) for names, _ in words],
            "alarms": [alarm for _, alarm in words],
            "cpu_ms": cpu_ms[1:],
        }
    return answers


def main(answers: TextIO) -> None:
    """Answer until the jobs end."""
    answers.write(json.dumps({name: version(name) for name in LIBRARIES}) + "\n")
    answers.flush()
    for line in sys.stdin:
        order = json.loads(line)
        answers.write(json.dumps(run(Job(order))) + "\n")
        answers.flush()


if __name__ == "__main__":
    channel, sys.stdout = sys.stdout, sys.stderr
    main(channel)
