"""Values that are no values are refused, by their name."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.program import CHART, IMAGE, Helm, settings

TYPOS = [
    "replicas",
    "Image.repository",
    "image.repo",
    "image.pullpolicy",
    "webhook.replica",
    "webhook.replicaCount",
    "webhook.logLvl",
    "webhook.resources.request",
    "webhook.resources.limits.cpus",
    "webhook.podDisruptionBudget.enabled",
    "webhook.disruptionBudget.minAvailible",
    "webhook.serviceAccount.annotation",
    "webhook.evidenceWait",
    "controller.leaderElection",
    "controller.gathering.endpoint",
    "controller.gathering.internalhosts",
    "admission.failurepolicy",
    "admission.namespaceSelector",
    "admission.exemptNamespace",
    "certificates.certManager.issuer",
    "certificates.secret.secretName",
    "certificates.lifetime",
    "rbac.aggregation",
    "networkPolicy.enable",
    "networkPolicy.apiServerCIDRs",
    "monitoring.servicemonitor.enabled",
    "monitoring.prometheusRule.rules",
    "crds.install",
    "crd.enabled",
    "test.namespaces",
    "proxy.httpProxy",
    "verifier.cpus",
    "webhook.verifier.cpu",
    "extraCAs.configmap",
    "tests.namespace",
]


@pytest.mark.parametrize("path", TYPOS)
def test_typo_is_refused_by_its_name(helm: Helm, path: str) -> None:
    said = helm.refusal(*IMAGE, "--set", f"{path}=x")
    assert "additional" in said.lower()
    assert any(f"'{part}'" in said for part in path.split("."))


WRONG: list[tuple[str, object]] = [
    ("image__pullPolicy", "Sometimes"),
    ("image__digest", "sha256:1234"),
    ("image__digest", "latest"),
    ("webhook__replicas", 0),
    ("webhook__replicas", "2"),
    ("webhook__logLevel", "verbose"),
    ("webhook__port", 70000),
    ("webhook__maxStalenessSeconds", 10),
    ("webhook__evidenceWaitSeconds", 9),
    ("webhook__shutdownDelaySeconds", -1),
    ("webhook__resources__requests__cpu", "much"),
    ("webhook__disruptionBudget__minAvailable", "half"),
    ("webhook__nodeSelector__zone", 5),
    ("webhook__tolerations", [{"key": "a", "effect": "Never"}]),
    ("admission__failurePolicy", "fail"),
    ("admission__timeoutSeconds", 31),
    ("admission__exemptNamespaces", "kube-system"),
    ("admission__exemptNamespaces", ["kube-*"]),
    ("admission__matchConditions", [{"name": "a"}]),
    ("certificates__source", "self-signed"),
    ("certificates__lifetimeDays", 1),
    ("certificates__secret__caBundle", "junk"),
    ("controller__gathering__endpoints", {"huggingface": "https://hub.example"}),
    ("controller__gathering__endpoints", {"hf": "hub.example"}),
    ("controller__gathering__internalHosts", ["https://hub.example"]),
    ("controller__gathering__credentialsSecrets", ["A_B"]),
    ("certificates__certManager__duration", "90 days"),
    ("certificates__certManager__renewBefore", ""),
    ("monitoring__serviceMonitor__interval", 30),
    ("networkPolicy__apiServerCidrs", ["10.0.0.1"]),
    ("proxy__url", "proxy:3128"),
    ("verifier__cpu", 0),
    ("verifier__cpu", -1),
    ("verifier__cpu", "0"),
    ("verifier__cpu", "0.0m"),
    ("verifier__cpu", "much"),
    ("verifier__memory", ""),
    ("verifier__memory", "0Mi"),
    ("fullnameOverride", "-x"),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=lambda each: str(each)[:40])
def test_value_out_of_bounds_is_refused_by_its_name(helm: Helm, path: str, value: object) -> None:
    said = helm.refusal(*IMAGE, *settings(**{path: value}))
    assert path.rpartition("__")[2] in said or "invalid propertyName 'huggingface'" in said


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"image__repository": ""}, "image.repository: where is the image?"),
        (
            {"admission__timeoutSeconds": 4, "webhook__evidenceWaitSeconds": 2.5},
            "webhook.evidenceWaitSeconds: must be at least 2 less",
        ),
        ({"webhook__healthPort": 9443}, "webhook.healthPort: 9443 is webhook.port as well"),
        ({"certificates__source": "secret"}, "certificates.secret.name: which Secret"),
        (
            {"webhook__disruptionBudget__minAvailable": 2},
            "webhook.disruptionBudget.minAvailable: with 2 of 2 replicas no node",
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused(
    helm: Helm, values: dict[str, object], text: str
) -> None:
    assert text in helm.refusal(*IMAGE, *settings(**values))


def test_usual_values_for_kubernetes_fields_are_accepted(helm: Helm) -> None:
    helm.render(
        *IMAGE,
        *settings(
            webhook__resources={"requests": {"cpu": 1, "memory": "1.5Gi"}, "limits": {"cpu": 0.5}},
            webhook__tolerations=[{"operator": "Exists"}, {"key": "a", "tolerationSeconds": 5}],
            webhook__disruptionBudget={"minAvailable": "50%"},
            controller__affinity={"podAntiAffinity": {"anything": ["the", "API", "checks"]}},
        ),
    )


def test_chart_can_be_a_dependency(helm: Helm) -> None:
    """Helm gives every dependency what its parent has under ``global``."""
    helm.render(*IMAGE, *settings(**{"global": {"imageRegistry": "r.example"}}))


def test_no_object_in_the_schema_takes_names_that_it_does_not_know() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    open_ended = [path for path, each in _objects(schema, "") if _is_open(each)]
    assert sorted(open_ended) == sorted(
        [
            ".properties.global",
            *(
                f".$defs.{role}.properties.{name}"
                for role in ("Webhook", "Controller")
                for name in ("affinity", "topologySpreadConstraints.items")
            ),
            ".$defs.NetworkPolicies.properties.metricsFrom.items",
        ]
    )


def _is_open(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object" and schema.get("additionalProperties", True) is True


def _objects(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield path, schema
        for key, value in schema.items():
            yield from _objects(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            yield from _objects(value, f"{path}[{number}]")
