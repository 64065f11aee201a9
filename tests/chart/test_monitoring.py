"""Alerts and dashboard: what they ask for exists, each fires when it should, and has a page."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from tests.chart.program import CHART, ROOT, Helm, Json, named
from weighmaster.core.reasons import Reason
from weighmaster.health import HealthServer
from weighmaster.telemetry import (
    AdmissionMetrics,
    CertificateMetrics,
    EvidenceMetrics,
    OutcomeMetrics,
    SandboxMetrics,
    StoreMetrics,
    leadership_gauge,
    metrics_registry,
)

FILES = CHART / "files"
DOCS = ROOT / "docs"
RUNBOOKS = DOCS / "runbooks"
CASES: list[Json] = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text())
ALERTS = [
    rule["alert"]
    for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
ASKED = re.compile(r"\b((?:weighmaster|process)_[a-z_]+)\b")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
WITH_PAGES = ("--set", "monitoring.prometheusRule.runbookUrl=https://git.example/docs/runbooks")


@pytest.fixture
def rules(helm: Helm) -> Json:
    """The alerts as the chart renders them, for a namespace."""
    objects = helm.render("--values", str(CHART / "ci" / "production-values.yaml"), *WITH_PAGES)
    spec: Json = named(objects, "PrometheusRule", "weighmaster")["spec"]
    return spec


def run(promtool: Path, *arguments: str) -> None:
    ran = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def names(registry: CollectorRegistry) -> Iterator[str]:
    for family in registry.collect():
        for suffix in SUFFIXES[family.type]:
            yield family.name + suffix


@pytest.fixture(scope="module")
def there() -> set[str]:
    """The names of all metrics."""
    registry = metrics_registry()
    for made in (
        AdmissionMetrics,
        CertificateMetrics,
        EvidenceMetrics,
        OutcomeMetrics,
        SandboxMetrics,
        StoreMetrics,
        leadership_gauge,
    ):
        made(registry)
    HealthServer(registry, lambda: None, "127.0.0.1", 0)
    return set(names(registry))


@pytest.mark.parametrize("name", ["alerts.yaml", "dashboard.json"])
def test_every_metric_that_is_asked_for_exists(there: set[str], name: str) -> None:
    asked = set(ASKED.findall((FILES / name).read_text()))
    assert asked, f"{name} asks for nothing"
    assert asked <= there, f"{name}: {sorted(asked - there)}"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_every_metric_that_a_page_names_exists(there: set[str], page: Path) -> None:
    """By the name of a series, or that of a histogram as a whole."""
    whole = {name.removesuffix("_bucket") for name in there}
    named = {name for name in ASKED.findall(page.read_text()) if not name.endswith("_")}
    assert named <= there | whole, f"{page.name}: {sorted(named - there - whole)}"


def test_alerts_name_reasons_that_there_are(rules: Json) -> None:
    (failing,) = (
        rule["expr"]
        for rule in rules["groups"][0]["rules"]
        if rule["alert"] == "WeighmasterAdmissionFailing"
    )
    (listed,) = re.findall(r'reason=~"([^"]+)"', failing)
    assert set(listed.split("|")) <= set(Reason)


def test_alerts_and_dashboard_are_what_prometheus_can_read(
    promtool: Path, rules: Json, tmp_path: Path
) -> None:
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules))
    run(promtool, "check", "rules", str(tmp_path / "alerts.yaml"))
    panels = (FILES / "dashboard.json").read_text().replace("$namespace", "weighmaster-system")
    recorded = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(_expressions(json.loads(panels)))
    ]
    assert len(recorded) > 10
    group = {"groups": [{"name": "dashboard", "rules": recorded}]}
    (tmp_path / "dashboard.yaml").write_text(yaml.safe_dump(group))
    run(promtool, "check", "rules", str(tmp_path / "dashboard.yaml"))


def _expressions(value: Any) -> Iterator[str]:
    """What the panels ask Prometheus."""
    if isinstance(value, dict):
        if "expr" in value:
            yield value["expr"]
        for each in value.values():
            yield from _expressions(each)
    elif isinstance(value, list):
        for each in value:
            yield from _expressions(each)


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert {case["alert"] for case in CASES} == set(ALERTS)


def test_alerts_fire_when_they_should_and_not_before(
    promtool: Path, rules: Json, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    by_name = {rule["alert"]: rule for rule in rules["groups"][0]["rules"]}
    tests = [
        {
            "interval": "1m",
            "name": f"{case['alert']} {number}",
            "input_series": [{"series": s, "values": v} for s, v in case["series"].items()],
            "alert_rule_test": [
                {"eval_time": case["quiet"], "alertname": case["alert"], "exp_alerts": []},
                {
                    "eval_time": case["fires"],
                    "alertname": case["alert"],
                    "exp_alerts": [_expected(case, by_name[case["alert"]])],
                },
            ],
        }
        for number, case in enumerate(CASES)
    ]
    suite = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(suite))
    run(promtool, "test", "rules", str(tmp_path / "test.yaml"))


def _expected(case: Json, rule: Json) -> Json:
    """An alert as it goes out: its texts with the labels and the value of the case in them."""

    def filled(text: str) -> str:
        text = text.replace("{{ $value }}", str(case.get("value")))
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: case["labels"][found[1]], text)

    return {
        "exp_labels": {**rule["labels"], **case.get("labels", {})},
        "exp_annotations": {name: filled(text) for name, text in rule["annotations"].items()},
    }


def test_every_alert_leads_to_its_page_and_every_page_has_an_alert(rules: Json) -> None:
    found = []
    for rule in rules["groups"][0]["rules"]:
        url = rule["annotations"]["runbook_url"]
        path = ROOT / url.removeprefix("https://git.example/")
        assert path.is_file(), f"{rule['alert']}: there is no {path.relative_to(ROOT)}"
        asked = set(re.findall(r"weighmaster_[a-z_]+", rule["expr"])) or {"up"}
        asked |= {name.removesuffix("_bucket") for name in asked}
        told = path.read_text()
        assert any(name in told for name in asked), f"{path.name} does not name {sorted(asked)}"
        found.append(path)
    assert sorted(found) == sorted(RUNBOOKS.glob("*.md"))
