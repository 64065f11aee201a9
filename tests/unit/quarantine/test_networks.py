"""Which NetworkPolicies there must be, whether they are, and which open a sandbox."""

from typing import Any

import pytest

from tests.unit.core.builders import KNOWN, namespaced, policy, snapshot
from tests.unit.quarantine.situations import namespace, pod, profile, quarantining
from weighmaster.api.v1alpha1.network import NetworkRules
from weighmaster.core.enforce.confinement.network import network_policy
from weighmaster.quarantine.networks import Network, Networks
from weighmaster.quarantine.pods import Pod, Pods
from weighmaster.quarantine.wanted import wanted_networks

Json = dict[str, Any]
LABEL = "weighmaster.dev/sandbox"
SANDBOX = {"action": "Sandbox", "sandboxProfile": "isolated"}


def places(*documents: Json, pods: tuple[Pod, ...] = (), exempt: tuple[str, ...] = ()) -> set[Any]:
    return set(wanted_networks(snapshot(*documents), pods, exempt))


def kept(document: Json) -> Pod:
    found = Pods(lambda: None).keep(document)
    assert isinstance(found, Pod)
    return found


@pytest.mark.parametrize(
    "enforcement",
    [
        SANDBOX,
        {**SANDBOX, "action": "Deny", "onUnknown": "Sandbox"},
        {**SANDBOX, "action": "Deny", "running": "Quarantine"},
    ],
)
def test_wherever_a_policy_may_confine(enforcement: Json) -> None:
    made = policy(KNOWN, enforcement=enforcement)
    assert places(made, profile(), namespace("a"), namespace("b")) == {
        ("a", "isolated"),
        ("b", "isolated"),
    }


@pytest.mark.parametrize(
    "enforcement",
    [{**SANDBOX, "action": "Deny"}, {**SANDBOX, "action": "Deny", "running": "Evict"}],
)
def test_nowhere_for_a_profile_that_is_only_named(enforcement: Json) -> None:
    assert places(policy(KNOWN, enforcement=enforcement), profile(), namespace("a")) == set()


def test_only_where_the_policy_reaches() -> None:
    selecting = policy(
        KNOWN,
        name="selecting",
        enforcement=SANDBOX,
        match={"namespaceSelector": {"matchLabels": {"env": "lab"}}},
    )
    own = namespaced(KNOWN, namespace="own", enforcement={**SANDBOX, "sandboxProfile": "other"})
    spaces = [namespace("lab", env="lab"), namespace("prod", env="prod"), namespace("own")]
    found = places(selecting, own, profile(), profile("other"), *spaces)
    assert found == {("lab", "isolated"), ("own", "other")}


def test_not_where_everything_is_excluded_but_where_something_is() -> None:
    selector = {"namespaceSelector": {"matchLabels": {"env": "lab"}}}
    spaces = [profile(), namespace("lab", env="lab"), namespace("prod")]
    whole = policy(KNOWN, enforcement=SANDBOX, exclude=selector)
    assert places(whole, *spaces) == {("prod", "isolated")}
    part = policy(KNOWN, enforcement=SANDBOX, exclude={**selector, "roles": ["adapter"]})
    assert places(part, *spaces) == {("prod", "isolated"), ("lab", "isolated")}


def test_not_in_exempt_namespaces() -> None:
    made = policy(KNOWN, enforcement=SANDBOX)
    spaces = [profile(), namespace("kube-system"), namespace("a")]
    assert places(made, *spaces, exempt=("kube-system",)) == {("a", "isolated")}


def test_none_for_a_profile_that_is_missing_or_cannot_be_used() -> None:
    made = policy(KNOWN, enforcement=SANDBOX)
    assert places(made, namespace("a")) == set()
    assert places(made, namespace("a"), profile(networkPolicy=[])) == set()


def test_wherever_a_pod_bears_the_label_whatever_has_become_of_policy_and_profile() -> None:
    labelled = kept(pod(labels={LABEL: "gone"}))
    wanted = wanted_networks(snapshot(namespace("a")), [labelled], ())
    assert set(wanted) == {("default", "gone")}
    spec = wanted["default", "gone"]["spec"]
    assert spec == {
        "podSelector": {"matchLabels": {LABEL: "gone"}},
        "policyTypes": ["Ingress", "Egress"],
    }, "nothing is known to be allowed"


def test_policy_that_cannot_be_used_still_needs_its_profile() -> None:
    made = policy({"watermark": {}}, enforcement=SANDBOX)
    assert places(made, profile(), namespace("a")) == {("a", "isolated")}


def test_rules_of_the_profile_are_allowed() -> None:
    rules = {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}
    made = [quarantining(), profile(networkPolicy=rules), namespace("a")]
    wanted = wanted_networks(snapshot(*made), (), ())
    assert wanted["a", "isolated"]["spec"]["egress"] == rules["egress"]


DESIRED = network_policy("isolated", NetworkRules(), "default")


def stored(**changes: Any) -> Json:
    metadata = {
        **DESIRED["metadata"],
        "uid": "u",
        "resourceVersion": "7",
        "managedFields": [{}],
        "annotations": {"theirs": "kept"},
        **changes.pop("metadata", {}),
    }
    return {**DESIRED, "metadata": metadata, **changes}


def network(document: Json) -> Network:
    return Networks(lambda: None).keep(document)


def test_stored_as_wanted_is_right() -> None:
    assert network(stored()).is_as(DESIRED)


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {**DESIRED["spec"], "egress": [{}]}},
        {"spec": {**DESIRED["spec"], "policyTypes": ["Ingress"]}},
        {"spec": {**DESIRED["spec"], "podSelector": {}}},
        {"metadata": {"labels": {LABEL: "isolated"}}},
        {"metadata": {"deletionTimestamp": "2026-11-24T12:00:00Z"}},
    ],
)
def test_anything_else_is_not(changes: Json) -> None:
    assert not network(stored(**changes)).is_as(DESIRED)


def test_what_is_written_keeps_what_others_have_noted_and_says_what_it_replaces() -> None:
    made = network(stored(spec={}, metadata={"labels": {"theirs": "kept"}})).replaced_by(DESIRED)
    assert made["spec"] == DESIRED["spec"]
    assert made["metadata"]["labels"] == {"theirs": "kept", **DESIRED["metadata"]["labels"]}
    assert made["metadata"]["annotations"] == {"theirs": "kept"}
    assert made["metadata"]["resourceVersion"] == "7"
    assert "managedFields" not in made["metadata"]


def test_only_what_weighmaster_made_is_its_own_to_delete() -> None:
    assert network(stored()).managed
    assert not network(stored(metadata={"labels": {}})).managed
    assert not network({**stored(), "metadata": {"name": "other", "namespace": "default"}}).managed


def foreign(name: str, selector: Json, **spec: Any) -> Json:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"podSelector": selector, **spec},
    }


ANY: list[Json] = [{}]


@pytest.mark.parametrize(
    ("document", "opens"),
    [
        (foreign("all", {}, egress=ANY), True),
        (foreign("in", {}, ingress=ANY), True),
        (foreign("app", {"matchLabels": {"app": "x"}}, egress=ANY), True),
        (foreign("unread", {"matchLabels": [1]}, egress=ANY), True),
        (foreign("other", {"matchLabels": {"app": "y"}}, egress=ANY), False),
        (foreign("deny", {}, policyTypes=["Egress"]), False),
        (
            foreign(
                "exclusive",
                {"matchExpressions": [{"key": LABEL, "operator": "DoesNotExist"}]},
                egress=ANY,
            ),
            False,
        ),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else "",
)
def test_which_policies_open_a_sandbox(document: Json, opens: bool) -> None:
    networks = Networks(lambda: None)
    networks.replace("networkpolicies", [networks.keep(stored()), networks.keep(document)])
    confined = kept(pod(labels={"app": "x", LABEL: "isolated"}))
    found = networks.opening(confined, NetworkRules())
    assert [each.name for each in found] == ([document["metadata"]["name"]] if opens else [])


def test_network_that_is_forgotten_opens_nothing() -> None:
    networks = Networks(lambda: None)
    networks.update("networkpolicies", networks.keep(foreign("all", {}, egress=ANY)))
    networks.remove("networkpolicies", ("default", "all"))
    networks.remove("networkpolicies", ("default", "all"))
    assert networks.opening(kept(pod(labels={LABEL: "isolated"})), NetworkRules()) == []
