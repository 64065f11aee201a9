"""The NetworkPolicy of a sandbox profile, and profiles that cannot be used."""

from typing import Any

import msgspec
import pytest

from tests.unit.core.builders import API_VERSION
from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.core.enforce.confinement.network import (
    NAME_PREFIX,
    SANDBOX_LABEL,
    network_policy,
    network_policy_spec,
)
from weighmaster.core.evaluate.profiles import read_profile

RULES: dict[str, Any] = {
    "egress": [
        {
            "to": [
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "dns"}}},
            ],
            "ports": [{"port": 53, "protocol": "UDP"}, {"port": 8000, "endPort": 8010}, {}],
        }
    ],
    "ingress": [
        {
            "from": [
                {
                    "namespaceSelector": {
                        "matchExpressions": [
                            {"key": "audit", "operator": "In", "values": ["yes"]},
                            {"key": "x", "operator": "DoesNotExist"},
                        ]
                    }
                }
            ]
        }
    ],
}


def profile(name: str = "isolated", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "SandboxProfile",
        "metadata": {"name": name},
        "spec": spec,
    }


def rules(given: dict[str, Any]) -> NetworkRules:
    return msgspec.convert(given, NetworkRules)


def test_profile_without_rules_allows_nothing_in_either_direction() -> None:
    assert network_policy_spec("isolated", rules({})) == {
        "podSelector": {"matchLabels": {SANDBOX_LABEL: "isolated"}},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_policy_is_named_after_its_profile_and_marked_as_managed() -> None:
    made = network_policy("isolated", rules({}), "research")
    assert made["metadata"] == {
        "name": f"{NAME_PREFIX}isolated",
        "namespace": "research",
        "labels": {"app.kubernetes.io/managed-by": "weighmaster", SANDBOX_LABEL: "isolated"},
    }


def test_rules_are_written_out_as_the_api_server_hands_them_back() -> None:
    spec = network_policy_spec("isolated", rules(RULES))
    assert spec["egress"] == [
        {
            "to": RULES["egress"][0]["to"],
            "ports": [
                {"protocol": "UDP", "port": 53},
                {"protocol": "TCP", "port": 8000, "endPort": 8010},
                {"protocol": "TCP"},
            ],
        }
    ]
    assert spec["ingress"] == RULES["ingress"]


@pytest.mark.parametrize(
    "given",
    [
        {"egress": [{}]},
        {"egress": [{"to": []}]},
        {"egress": [{"to": [{}]}]},
        {"egress": [{"too": [{"podSelector": {}}]}]},
        {"egress": [{"to": [{"podSelector": {"matchLabel": {"a": "b"}}}]}]},
        {"egress": [{"to": [{"ipBlock": {"cidr": "10.1.2.3/8"}}]}]},
        {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.2.3/16"]}}]}]},
        {"egress": [{"to": [{"ipBlock": {"cidr": "::/0"}, "podSelector": {}}]}]},
        {"ingress": [{}]},
        {"ingress": [{"from": [{}]}]},
        {"ingress": [{"from": [{"podSelector": {}}], "ports": [{"endPort": 8}]}]},
        {"ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 9, "endPort": 8}]}]},
    ],
)
def test_profile_that_could_allow_more_than_it_says_cannot_be_used(given: dict[str, Any]) -> None:
    read = read_profile(profile(networkPolicy=given))
    assert read.spec is None
    assert read.problem is not None


def test_profile_whose_name_is_no_label_cannot_be_used() -> None:
    assert read_profile(profile("a" * 63)).problem is None
    assert read_profile(profile("a" * 64)).problem is not None


def test_profile_of_every_kind_of_rule_can_be_used() -> None:
    assert read_profile(profile(networkPolicy=RULES)).problem is None
