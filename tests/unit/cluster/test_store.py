"""The store compiles each object once and gives out nothing that it cannot stand behind."""

from collections import Counter
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.unit.cluster.api_server import ApiServer
from tests.unit.core.builders import exception, namespace, namespaced, policy, publisher
from weighmaster.cluster import store as store_module
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.sandboxes import NETWORK_POLICIES, SANDBOXED_PODS, SandboxStore
from weighmaster.cluster.store import (
    CLUSTER_POLICIES,
    EXCEPTIONS,
    NAMESPACES,
    POLICIES,
    PUBLISHERS,
    ClusterStore,
    PolicyStore,
)
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL
from weighmaster.core.evaluate.facilities import Cluster, NetworkPolicy
from weighmaster.telemetry import StoreMetrics


def test_snapshot_stays_the_same_until_something_changes() -> None:
    store = PolicyStore()
    store.update(CLUSTER_POLICIES, policy())
    first = store.snapshot()
    assert store.snapshot() is first
    store.update(NAMESPACES, namespace("default"))
    assert store.snapshot() is not first


@pytest.mark.parametrize("change", ["update", "remove", "replace"])
def test_every_change_gives_a_new_snapshot_and_leaves_the_old_one(change: str) -> None:
    store = PolicyStore()
    store.update(CLUSTER_POLICIES, policy(name="a"))
    before = store.snapshot()
    match change:
        case "update":
            store.update(CLUSTER_POLICIES, policy(name="b"))
        case "remove":
            store.remove(CLUSTER_POLICIES, ("", "a"))
        case _:
            store.replace(CLUSTER_POLICIES, [])
    assert [held.key.name for held in before.policies] == ["a"]
    assert [held.key.name for held in store.snapshot().policies] != ["a"]


def test_object_is_compiled_once_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: Counter[str] = Counter()
    original = store_module._COMPILERS[CLUSTER_POLICIES]

    def compile_and_count(stored: Any) -> Any:
        compiled[stored["metadata"]["name"]] += 1
        return original(stored)

    monkeypatch.setitem(store_module._COMPILERS, CLUSTER_POLICIES, compile_and_count)
    store = PolicyStore()
    store.replace(CLUSTER_POLICIES, [policy(name="a"), policy(name="b")])
    for _ in range(3):
        store.update(NAMESPACES, namespace("default"))
        store.snapshot()
    assert compiled == {"a": 1, "b": 1}
    store.update(CLUSTER_POLICIES, policy(name="b"))
    assert compiled == {"a": 1, "b": 2}


def test_replacing_a_listing_drops_what_is_not_in_it() -> None:
    store = PolicyStore()
    store.replace(PUBLISHERS, [publisher("a", "hf://a/**"), publisher("b", "hf://b/**")])
    store.replace(PUBLISHERS, [publisher("b", "hf://b/**")])
    assert set(store.snapshot().publishers_by_name) == {"b"}
    assert store.count(PUBLISHERS) == 1


def test_removing_what_is_not_there_is_no_error() -> None:
    PolicyStore().remove(EXCEPTIONS, ("", "nobody"))


def test_policies_of_the_same_name_in_two_namespaces_are_two() -> None:
    store = PolicyStore()
    store.update(POLICIES, namespaced(namespace="a"))
    store.update(POLICIES, namespaced(namespace="b"))
    store.update(CLUSTER_POLICIES, policy())
    assert len(store.snapshot().policies) == 3
    store.remove(POLICIES, ("a", "strict"))
    assert [str(held.key) for held in store.snapshot().policies] == ["strict", "b/strict"]


def test_kind_comes_from_the_resource_and_not_from_the_object() -> None:
    store = PolicyStore()
    store.update(POLICIES, {**namespaced(), "kind": "ClusterModelPolicy"})
    assert store.snapshot().policies[0].key.namespace == "default"


def test_object_that_cannot_be_used_is_kept_and_does_not_raise() -> None:
    store = PolicyStore()
    specs: tuple[Any, ...] = (None, [], "x", {}, {"rules": 1}, {"references": [1]})
    for resource in (CLUSTER_POLICIES, POLICIES, PUBLISHERS, EXCEPTIONS):
        for spec in specs:
            store.update(resource, {"metadata": {"name": "odd", "namespace": "x"}, "spec": spec})
    held = store.snapshot()
    assert [kept.problem is None for kept in held.policies] == [False, False]
    assert len(held.problems) == 2


def test_namespace_labels_are_known_once_it_is_listed() -> None:
    store = PolicyStore()
    store.update(NAMESPACES, namespace("prod", env="production"))
    assert store.snapshot().namespaces["prod"] == {"env": "production"}


async def test_nothing_is_given_out_before_every_resource_is_listed(
    api: ApiServer, client: ApiClient
) -> None:
    registry = CollectorRegistry()
    store = ClusterStore(client, StoreMetrics(registry), max_staleness=180)
    assert store.snapshot() is None
    for reflector in store._reflectors[:-1]:
        await reflector._list()
        assert store.snapshot() is None
    assert store.not_ready() == "pods have not been listed yet"
    await store._reflectors[-1]._list()
    assert store.snapshot() is not None
    assert store.not_ready() is None
    assert (
        'weighmaster_store_objects{resource="namespaces"} 0.0' in generate_latest(registry).decode()
    )


async def test_one_stale_resource_is_enough_to_refuse(api: ApiServer, client: ApiClient) -> None:
    store = ClusterStore(client, StoreMetrics(CollectorRegistry()), max_staleness=180)
    now = [0.0]
    for reflector in store._reflectors:
        reflector._clock = lambda: now[0]
        await reflector._list()
    now[0] = 180.0
    assert store.snapshot() is not None
    now[0] = 181.0
    for reflector in store._reflectors[1:]:
        await reflector._list()
    assert store.snapshot() is None
    assert "were last seen 181 s ago" in str(store.not_ready())
    await store._reflectors[0]._list()
    assert store.snapshot() is not None


@pytest.mark.parametrize("limit", [float("inf"), float("nan")])
async def test_no_limit_of_staleness_serves_what_was_never_listed(
    client: ApiClient, limit: float
) -> None:
    store = ClusterStore(client, StoreMetrics(CollectorRegistry()), max_staleness=limit)
    assert store.snapshot() is None


async def test_pods_that_come_and_go_leave_what_was_found_by_the_policies(
    api: ApiServer, client: ApiClient
) -> None:
    store = ClusterStore(client, StoreMetrics(CollectorRegistry()), max_staleness=180)
    for reflector in store._reflectors:
        await reflector._list()
    first = store.snapshot()
    assert first is not None
    assert store.snapshot() is first
    store._sandboxes.update(SANDBOXED_PODS.name, labelled("phi", SANDBOX_LABEL))
    second = store.snapshot()
    assert second is not None
    assert second is not first
    assert second.memory is first.memory
    assert first.facilities.cluster == Cluster()
    assert second.facilities.cluster == Cluster(
        sandboxed={"default": {"phi": {SANDBOX_LABEL: "isolated"}}}
    )


def labelled(name: str, label: str, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {label: "isolated"},
            **metadata,
        }
    }


def test_change_of_a_pod_that_is_none_to_us_changes_nothing() -> None:
    store = SandboxStore()
    store.update(SANDBOXED_PODS.name, labelled("phi", SANDBOX_LABEL, resourceVersion="1"))
    known = store.cluster()
    store.update(SANDBOXED_PODS.name, labelled("phi", SANDBOX_LABEL, resourceVersion="2"))
    store.remove(SANDBOXED_PODS.name, ("default", "nobody"))
    assert store.cluster() is known
    store.remove(SANDBOXED_PODS.name, ("default", "phi"))
    assert store.cluster() == Cluster()


def test_network_policies_are_known_by_namespace_and_forgotten_with_a_new_listing() -> None:
    store = SandboxStore()
    stored = {**labelled("deny", "a", deletionTimestamp="2026-01-01T00:00:00Z"), "spec": {"a": 1}}
    store.replace(NETWORK_POLICIES.name, [stored])
    found = NetworkPolicy("default", "deny", {"a": 1}, leaving=True)
    assert store.cluster().network_policies == {"default": (found,)}
    assert store.count(NETWORK_POLICIES.name) == 1
    store.replace(NETWORK_POLICIES.name, [])
    assert store.cluster().network_policies == {}


async def test_only_sandboxed_pods_are_listed_and_of_them_the_metadata(
    api: ApiServer, client: ApiClient
) -> None:
    store = ClusterStore(client, StoreMetrics(CollectorRegistry()), max_staleness=180)
    await store._reflectors[-1]._list()
    asked = api.requests[-1]
    assert asked.path == "/api/v1/pods"
    assert asked.query["labelSelector"] == SANDBOX_LABEL
    assert "PartialObjectMetadataList" in asked.headers["Accept"]


def test_exception_counts_in_the_snapshot() -> None:
    store = PolicyStore()
    store.update(EXCEPTIONS, exception())
    assert store.snapshot().problems == ()


def test_status_of_a_policy_makes_another_of_it_only_by_the_keys_that_are_published_in_it() -> None:
    store = PolicyStore()
    stored = policy()
    stored["metadata"] |= {"uid": "u", "generation": 1}
    store.update(CLUSTER_POLICIES, stored)
    first = store.snapshot()
    running = {"running": {"violating": 3}}
    store.update(CLUSTER_POLICIES, {**stored, "status": running})
    assert store.snapshot() is first
    keys = [{"id": "0" * 16, "pem": "-----BEGIN PUBLIC KEY-----"}]
    store.update(CLUSTER_POLICIES, {**stored, "status": {**running, "keys": keys}})
    second = store.snapshot()
    assert second is not first
    store.update(CLUSTER_POLICIES, {**stored, "status": {"keys": keys}})
    assert store.snapshot() is second
