"""Write the Grafana dashboards: ``python deploy/grafana/build.py``.

``panels/*.yml`` say what is shown, this says how it looks, ``dashboards/*.json`` are what Grafana reads. The
JSON is committed, a test compares it with what is built here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SCHEMA_VERSION = 41  # Grafana 12
DATASOURCE = {"type": "prometheus", "uid": "driftstream-prometheus"}
COLUMNS = 24
KINDS = {"stat": "stat", "graph": "timeseries", "states": "state-timeline", "table": "table"}
SIZES = {"stat": (4, 4), "graph": (12, 8), "states": (12, 8), "table": (12, 8)}
MODEL_LINK = "/d/driftstream-model?var-model=${__field.labels.model}&${__url_time_range}"
VERDICTS = [
    {
        "type": "value",
        "options": {
            "0": {"text": "ok", "color": "green", "index": 0},
            "1": {"text": "drift", "color": "red", "index": 1},
        },
    }
]


def legend() -> dict[str, Any]:
    """Give the legend below a panel."""
    return {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}


def options(word: str) -> dict[str, Any]:
    """Give the options of a kind of panel."""
    by_word: dict[str, dict[str, Any]] = {
        "stat": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "value",
            "orientation": "auto",
        },
        "graph": {"legend": legend(), "tooltip": {"mode": "multi", "sort": "desc"}},
        "states": {"legend": legend(), "mergeValues": True, "showValue": "never", "rowHeight": 0.8},
        "table": {"showHeader": True, "cellHeight": "sm"},
    }
    return by_word[word]


def defaults(word: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Give unit, range, thresholds and links of the values of a panel."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if "alarm" in spec:
        steps.append({"color": "red", "value": spec["alarm"]})
    field: dict[str, Any] = {
        "unit": spec.get("unit", "short"),
        "color": {"mode": "palette-classic" if word == "graph" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": VERDICTS if word == "states" else [],
    }
    if word == "graph":
        log = {"scaleDistribution": {"type": "log", "log": 10}}
        linear = {"scaleDistribution": {"type": "linear"}, "axisSoftMin": 0}
        field["custom"] = {"lineWidth": 1, "fillOpacity": 5, **(log if spec.get("log_scale") else linear)}
    if spec.get("link") == "model":
        field["links"] = [{"title": "This model", "url": MODEL_LINK}]
    return field


def targets(word: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the queries of a panel, A, B, ..."""
    queries = spec.get("queries") or [{"expr": spec["expr"], "legend": spec.get("legend", spec[word])}]
    instant = word == "table"
    return [
        {
            "refId": chr(ord("A") + position),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query["expr"],
            "legendFormat": query["legend"],
            "instant": instant,
            "range": not instant,
            "format": "table" if instant else "time_series",
        }
        for position, query in enumerate(queries)
    ]


def panels(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Place the panels from left to right, in rows as high as their highest panel."""
    placed, x, y, row_height = [], 0, 0, 0
    for number, spec in enumerate(specs, start=1):
        word = next(word for word in KINDS if word in spec)
        width, height = spec.get("width", SIZES[word][0]), SIZES[word][1]
        if x + width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        placed.append(
            {
                "id": number,
                "type": KINDS[word],
                "title": spec[word],
                "description": spec["description"],
                "datasource": DATASOURCE,
                "gridPos": {"x": x, "y": y, "w": width, "h": height},
                "fieldConfig": {"defaults": defaults(word, spec), "overrides": []},
                "options": options(word),
                "targets": targets(word, spec),
            }
        )
        x, row_height = x + width, max(row_height, height)
    return placed


def variable(spec: dict[str, Any]) -> dict[str, Any]:
    """Give a choice at the top of the dashboard; one with several values starts with all of them."""
    multi = spec.get("multi", False)
    query = {"qryType": 1, "query": spec["query"], "refId": f"variable-{spec['name']}"}
    return {
        "name": spec["name"],
        "label": spec["name"],
        "type": "query",
        "datasource": DATASOURCE,
        "definition": spec["query"],
        "query": query,
        "refresh": 2,
        "sort": 1,
        "multi": multi,
        "includeAll": multi,
        "current": {"text": ["All"], "value": ["$__all"]} if multi else {},
        "options": [],
        "hide": 0,
    }


def dashboard(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Build one dashboard; its uid is fixed, so that links to it last."""
    return {
        "uid": f"driftstream-{name}",
        "title": spec["title"],
        "description": spec["description"],
        "tags": ["driftstream"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [variable(each) for each in spec.get("variables", [])]},
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "title": "driftstream",
                "tags": ["driftstream"],
                "asDropdown": False,
                "includeVars": False,
                "keepTime": True,
            }
        ],
        "panels": panels(spec["panels"]),
    }


def build() -> dict[Path, str]:
    """Give the text of every dashboard by the path it is committed at."""
    built = {}
    for path in sorted((HERE / "panels").glob("*.yml")):
        spec = yaml.safe_load(path.read_text())
        text = json.dumps(dashboard(path.stem, spec), indent=2) + "\n"
        built[HERE / "dashboards" / f"{path.stem}.json"] = text
    return built


if __name__ == "__main__":
    for target, text in build().items():
        target.write_text(text)
