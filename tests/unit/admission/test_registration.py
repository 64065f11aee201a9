"""The webhook configurations ask for what the webhook is for, and promise what it keeps."""

import pytest

from weighmaster.admission.registration import configurations, guards

GUARDS = ("reach", "sandboxes", "bindings", "networkpolicies")
CLIENT = {"url": "https://127.0.0.1:9443/", "caBundle": "x"}


@pytest.mark.parametrize("index", [0, 1], ids=["mutating", "validating"])
def test_failure_refuses_and_only_dry_runs_are_without_side_effects(index: int) -> None:
    webhook = configurations(CLIENT, ("kube-system",))[index]["webhooks"][0]
    assert webhook["failurePolicy"] == "Fail"
    # Requests for evidence create ModelRecords, so "None" would be untrue.
    assert webhook["sideEffects"] == "NoneOnDryRun"
    assert "objectSelector" not in webhook
    pods = [rule for rule in webhook["rules"] if "pods" in rule["resources"]]
    assert pods[0]["operations"] == ["CREATE", "UPDATE"]
    assert "pods/ephemeralcontainers" in pods[0]["resources"]


def test_namespaces_are_exempt_by_a_label_that_nobody_can_set() -> None:
    for configuration in configurations(CLIENT, ("kube-system",)):
        selector = configuration["webhooks"][0]["namespaceSelector"]
        assert [part["key"] for part in selector["matchExpressions"]] == [
            "kubernetes.io/metadata.name"
        ]


def test_each_stage_has_its_own_path() -> None:
    urls = [c["webhooks"][0]["clientConfig"]["url"] for c in configurations(CLIENT, ())]
    assert urls == ["https://127.0.0.1:9443/mutate", "https://127.0.0.1:9443/validate"]


def test_only_the_validating_stage_guards_sandboxes_and_each_guard_fails_closed() -> None:
    mutating, validating = configurations(CLIENT, ("kube-system",))
    assert [webhook["name"] for webhook in mutating["webhooks"]] == ["mutating.weighmaster.dev"]
    guards = {webhook["name"]: webhook for webhook in validating["webhooks"][1:]}
    assert set(guards) == {f"{name}.weighmaster.dev" for name in GUARDS}
    for webhook in guards.values():
        assert webhook["failurePolicy"] == "Fail"
        assert webhook["namespaceSelector"] == validating["webhooks"][0]["namespaceSelector"]


def test_every_way_into_a_pod_is_guarded_and_none_by_a_selector_over_its_options() -> None:
    reach = guards()["reach"]
    assert reach["rules"][0]["resources"] == [
        *("pods/attach", "pods/exec", "pods/portforward", "pods/proxy")
    ]
    assert reach["rules"][0]["operations"] == ["CONNECT"]
    assert set(reach) == {"rules"}
