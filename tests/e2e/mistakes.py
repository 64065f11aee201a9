"""Documented mistakes in our resources, and what the API server says about each."""

from typing import Any

Json = dict[str, Any]

PINNED_RULE = {"reference": {"require": ["Known", "Pinned"]}}

KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----"


def with_rule(rule: Json) -> Json:
    """A policy with one rule."""
    return {"enforcement": {"action": "Deny"}, "rules": [{"name": "r", **rule}]}


MISTAKES: dict[str, tuple[str, Json, str]] = {
    "no rules": (
        "ClusterModelPolicy",
        {"enforcement": {"action": "Deny"}, "rules": []},
        "should have at least 1 items",
    ),
    "a rule without a member": ("ClusterModelPolicy", with_rule({}), "a rule exactly one of"),
    "a rule with two members": (
        "ClusterModelPolicy",
        with_rule({"reference": {"require": ["Known"]}, "format": {"allow": ["gguf"]}}),
        "a rule exactly one of",
    ),
    "two rules of one name": (
        "ClusterModelPolicy",
        {
            "enforcement": {"action": "Deny"},
            "rules": [{"name": "r", "format": {"allow": ["gguf"]}}] * 2,
        },
        "Duplicate value",
    ),
    "Sandbox without a profile": (
        "ClusterModelPolicy",
        {**with_rule(PINNED_RULE), "enforcement": {"action": "Sandbox"}},
        "Sandbox needs a sandboxProfile",
    ),
    "Sandbox for the unknown without a profile": (
        "ClusterModelPolicy",
        {**with_rule(PINNED_RULE), "enforcement": {"action": "Deny", "onUnknown": "Sandbox"}},
        "Sandbox needs a sandboxProfile",
    ),
    "running Quarantine without a profile": (
        "ClusterModelPolicy",
        {**with_rule(PINNED_RULE), "enforcement": {"action": "Deny", "running": "Quarantine"}},
        "running: Quarantine needs a sandboxProfile",
    ),
    "a pace of nothing": (
        "ClusterModelPolicy",
        {**with_rule(PINNED_RULE), "enforcement": {"action": "Deny", "pace": {"maxPercent": 0}}},
        "should be greater than or equal to 1",
    ),
    "a revision to write that is not asked for": (
        "ClusterModelPolicy",
        with_rule({"reference": {"require": ["Known"], "pin": "Rewrite"}}),
        "pin: Rewrite needs Pinned in require",
    ),
    "a reference that is to be known twice": (
        "ClusterModelPolicy",
        with_rule({"reference": {"require": ["Known", "Known"]}}),
        "Duplicate value",
    ),
    "an unknown action": (
        "ClusterModelPolicy",
        {**with_rule(PINNED_RULE), "enforcement": {"action": "Block"}},
        'supported values: "Audit", "Warn", "Sandbox", "Deny"',
    ),
    "a country that is none": (
        "ClusterModelPolicy",
        with_rule({"origin": {"jurisdictions": {"deny": ["Europe"]}, "assurance": "Namespace"}}),
        'Unsupported value: "Europe"',
    ),
    "empty lists of publishers": (
        "ClusterModelPolicy",
        with_rule({"origin": {"publishers": {"allow": []}, "assurance": "Namespace"}}),
        "name at least one publisher",
    ),
    "an origin rule without assurance": (
        "ClusterModelPolicy",
        with_rule({"origin": {"publishers": {"allow": ["a"]}}}),
        "assurance: Required value",
    ),
    "an origin rule about nothing": (
        "ClusterModelPolicy",
        with_rule({"origin": {"assurance": "Namespace"}}),
        "at least one of publishers, publisherSelector and jurisdictions",
    ),
    "a code rule that forbids nothing": (
        "ClusterModelPolicy",
        with_rule({"code": {"remote": "Allow"}}),
        "forbid at least one",
    ),
    "an empty list of formats": (
        "ClusterModelPolicy",
        with_rule({"format": {"allow": []}}),
        "should have at least 1 items",
    ),
    "an authority of two sorts": (
        "ClusterModelPolicy",
        with_rule({"signature": {"authorities": [{"publisher": {}, "key": {"pem": KEY}}]}}),
        "exactly one of publisher, key, certificate and keyless",
    ),
    "a threshold that cannot be met": (
        "ClusterModelPolicy",
        with_rule({"signature": {"threshold": 2, "authorities": [{"publisher": {}}]}}),
        "more signatures than there are authorities",
    ),
    "an attestation by nobody": (
        "ClusterModelPolicy",
        with_rule({"attestation": {"predicateType": "https://a.b", "authorities": []}}),
        "should have at least 1 items",
    ),
    "an attestation of nothing": (
        "ClusterModelPolicy",
        with_rule({"attestation": {"authorities": [{"publisher": {}}]}}),
        "predicateType: Required value",
    ),
    "a pattern that is not anchored": (
        "ClusterModelPolicy",
        with_rule(
            {
                "signature": {
                    "authorities": [
                        {"keyless": {"issuer": "https://a.b", "subjectPattern": ".*@bank"}}
                    ]
                }
            }
        ),
        "should match '^\\^.+\\$$'",
    ),
    "a glob that is not bound to segments": (
        "ClusterModelPolicy",
        {**with_rule(PINNED_RULE), "match": {"references": ["hf://meta**"]}},
        "`**` stands for whole path segments",
    ),
    "a glob without a scheme": (
        "ClusterModelPolicy",
        {**with_rule(PINNED_RULE), "match": {"references": ["meta-llama/*"]}},
        "should match",
    ),
    "an exclusion of every namespace": (
        "ClusterModelPolicy",
        {**with_rule(PINNED_RULE), "exclude": {"namespaceSelector": {}}},
        "would exclude every namespace",
    ),
    "a selector that needs values": (
        "ClusterModelPolicy",
        {
            **with_rule(PINNED_RULE),
            "match": {
                "namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "In"}]}
            },
        },
        "In and NotIn need values",
    ),
    "a publisher's prefix without a boundary": (
        "ModelPublisher",
        {"displayName": "Meta", "references": ["hf://meta*"]},
        "references",
    ),
    "a publisher that owns a whole hub": (
        "ModelPublisher",
        {"displayName": "All", "references": ["hf://**"]},
        "should match",
    ),
    "a publisher of an invented country": (
        "ModelPublisher",
        {"displayName": "X", "jurisdiction": "XX", "references": ["hf://x/**"]},
        'Unsupported value: "XX"',
    ),
    "an exception without an end": (
        "ModelException",
        {
            "policies": [{"name": "p", "rules": ["r"]}],
            "namespaces": ["a"],
            "references": ["hf://a/b"],
            "reason": "r",
            "approvedBy": "me",
        },
        "expiresAt: Required value",
    ),
    "an exception for everything": (
        "ModelException",
        {
            "policies": [{"name": "p", "rules": ["r"]}],
            "namespaces": ["a"],
            "references": ["**"],
            "reason": "r",
            "approvedBy": "me",
            "expiresAt": "2027-01-01T00:00:00Z",
        },
        "an exception names what it excepts",
    ),
    "an exception from every rule": (
        "ModelException",
        {
            "policies": [{"name": "p", "rules": ["*"]}],
            "namespaces": ["a"],
            "references": ["hf://a/b"],
            "reason": "r",
            "approvedBy": "me",
            "expiresAt": "2027-01-01T00:00:00Z",
        },
        "should match",
    ),
    "an exception from a ModelPolicy of no namespace": (
        "ModelException",
        {
            "policies": [{"kind": "ModelPolicy", "name": "p", "rules": ["r"]}],
            "namespaces": ["a"],
            "references": ["hf://a/b"],
            "reason": "r",
            "approvedBy": "me",
            "expiresAt": "2027-01-01T00:00:00Z",
        },
        "a ModelPolicy is named with its namespace",
    ),
    "a sandbox that lives for a while": (
        "SandboxProfile",
        {"ttl": "three days"},
        "should match",
    ),
    "a sandbox that lives for no time": ("SandboxProfile", {"ttl": "0s"}, "should match"),
    "a sandbox that caps what containers have not": (
        "SandboxProfile",
        {"resources": {"pods": "10"}},
        "containers have cpu, memory",
    ),
    "a sandbox that runs as root": (
        "SandboxProfile",
        {"runAsUser": 0},
        "greater than or equal to 1",
    ),
    "a sandbox with a toleration of a value that exists": (
        "SandboxProfile",
        {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        "Exists takes no value",
    ),
    "a sandbox with a toleration that ends without an effect": (
        "SandboxProfile",
        {"tolerations": [{"key": "a", "tolerationSeconds": 5}]},
        "tolerationSeconds needs the effect NoExecute",
    ),
    "a sandbox that sets a variable twice": (
        "SandboxProfile",
        {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        "Duplicate value",
    ),
    "a sandbox whose egress names nobody": (
        "SandboxProfile",
        {"networkPolicy": {"egress": [{"ports": [{"port": 443}]}]}},
        "to: Required value",
    ),
    "a sandbox with a peer that is nobody": (
        "SandboxProfile",
        {"networkPolicy": {"egress": [{"to": [{}]}]}},
        "name either an ipBlock or pods",
    ),
    "a sandbox with a peer that is two": (
        "SandboxProfile",
        {
            "networkPolicy": {
                "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]
            }
        },
        "name either an ipBlock or pods",
    ),
    "a sandbox with an address for a network": (
        "SandboxProfile",
        {"networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "10.1.2.3/8"}}]}]}},
        "not a network",
    ),
    "a sandbox with a range of ports that ends before it starts": (
        "SandboxProfile",
        {
            "networkPolicy": {
                "egress": [{"to": [{"podSelector": {}}], "ports": [{"port": 9, "endPort": 8}]}]
            }
        },
        "endPort needs a port",
    ),
    "a record about nothing": ("ModelRecord", {"reference": "llama"}, "should match"),
    "a record of a claim that is nobody's": (
        "ModelRecord",
        {"reference": "pvc://models/llm", "asserted": {"license": "MIT"}},
        "give a namespace for pvc and kserve-storage references",
    ),
    "a record of a bucket with a namespace": (
        "ModelRecord",
        {"reference": "s3://models/llm", "namespace": "bank"},
        "and for no others",
    ),
    "a record with two signatures": (
        "ModelRecord",
        {
            "reference": "hf://a/b",
            "signature": {"inline": "{}", "configMapRef": {"name": "bundle"}},
        },
        "give exactly one of inline, secretRef and configMapRef",
    ),
    "a Secret elsewhere": (
        "ModelRecord",
        {"reference": "hf://a/b", "credentialsSecret": "../kube-system/secrets/admin"},
        "should match",
    ),
    "assertions about no lineage": (
        "ClusterModelPolicy",
        with_rule(
            {
                "origin": {
                    "publishers": {"allow": ["acme"]},
                    "assurance": "Namespace",
                    "assertions": "AnyReference",
                }
            }
        ),
        "they need lineage Include",
    ),
}
