"""A change is known to touch every workload whose findings it changes, and few others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.builders import (
    FORBIDDEN,
    KNOWN,
    NOW,
    exception,
    namespace,
    namespaced,
    policy,
    publisher,
    use,
    workload,
)
from weighmaster.cluster.store import PolicyStore
from weighmaster.core.evaluate import evaluate
from weighmaster.core.evaluate.changes import Changes
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.evaluate.subject import Workload
from weighmaster.core.values import ModelUse
from weighmaster.policy_files import add_document

Json = dict[str, Any]

COMMIT = "a" * 40
CHILD, PARENT, OTHER = f"hf://acme/child@{COMMIT}", "hf://acme/parent", f"hf://acme/other@{COMMIT}"
MIT = {"license": {"allow": ["MIT"]}}
LINEAGE = {
    "origin": {"publishers": {"allow": ["acme"]}, "assurance": "Namespace", "lineage": "Include"}
}


def record(reference: str, **status: Any) -> Json:
    return {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {"name": reference.replace("/", "-").replace(":", "").replace("@", "-")},
        "spec": {"reference": reference},
        "status": {"state": "Resolved", "resolved": reference, "lineageKnown": True, **status},
    }


def in_namespaces(name: str, *rules: Json, **labels: str) -> Json:
    return policy(*rules, name=name, match={"namespaceSelector": {"matchLabels": labels}})


DOCUMENTS: tuple[Json, ...] = (
    policy(MIT, name="everywhere"),
    policy(KNOWN, name="everywhere"),
    policy(LINEAGE, name="lineage"),
    in_namespaces("strict", FORBIDDEN, env="production"),
    in_namespaces("strict", MIT, env="test"),
    namespaced(FORBIDDEN, name="own", namespace="dev"),
    namespaced(KNOWN, name="own", namespace="dev"),
    publisher("acme", "hf://acme/**"),
    publisher("acme", "hf://other/**"),
    exception(policies=[{"name": "strict", "rules": ["rule-0"]}], namespaces=["dev", "prod"]),
    exception(policies=[{"name": "everywhere", "rules": ["rule-0"]}], namespaces=["dev"]),
    namespace("dev", env="test"),
    namespace("dev", env="production"),
    namespace("prod", env="production"),
    record(CHILD, license="MIT", baseModels=[PARENT]),
    record(CHILD, license="GPL-3.0-only"),
    record(PARENT),
    record(PARENT, lineageKnown=False),
    record(OTHER, license="MIT"),
)

WORKLOADS: tuple[tuple[Workload, tuple[ModelUse, ...]], ...] = tuple(
    (workload(namespace=name), tuple(map(use, references)))
    for name in ("dev", "prod", "unheard-of")
    for references in ((CHILD,), (OTHER,), (PARENT, OTHER), ("dynamic:api",))
)


def store_of(*documents: Json) -> PolicyStore:
    store = PolicyStore()
    for document in documents:
        assert add_document(store, document)
    return store


def findings(snapshot: Snapshot, about: tuple[Workload, tuple[ModelUse, ...]]) -> list[Any]:
    return list(evaluate(*about, snapshot, NOW))


@given(
    st.lists(st.sampled_from(DOCUMENTS), max_size=12),
    st.lists(st.tuples(st.booleans(), st.sampled_from(DOCUMENTS)), min_size=1, max_size=3),
)
def test_what_no_change_touches_is_judged_as_before(
    documents: list[Json], changes: list[tuple[bool, Json]]
) -> None:
    store = store_of(*documents)
    before = store.snapshot()
    for removes, document in changes:
        if removes:
            plural = {
                "ClusterModelPolicy": "clustermodelpolicies",
                "ModelPolicy": "modelpolicies",
                "ModelPublisher": "modelpublishers",
                "ModelException": "modelexceptions",
                "ModelRecord": "modelrecords",
                "Namespace": "namespaces",
            }[document["kind"]]
            metadata = document["metadata"]
            store.remove(plural, (metadata.get("namespace", ""), metadata["name"]))
        else:
            add_document(store, document)
    after = store.snapshot()
    found = Changes(before, after)
    for about in WORKLOADS:
        if not found.touch(*about):
            assert findings(before, about) == findings(after, about)


BASE = (policy(MIT, name="everywhere"), namespace("dev", env="test"), namespace("prod"))


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        (namespaced(KNOWN, name="new", namespace="dev"), {"dev"}),
        (in_namespaces("new", KNOWN, env="test"), {"dev", "unheard-of"}),
        (namespace("dev", env="production"), set()),
        (exception(namespaces=["prod"]), {"prod"}),
        (publisher("acme", "hf://acme/**"), {"dev", "prod", "unheard-of"}),
    ],
    ids=["namespaced policy", "selecting policy", "label nobody selects", "exception", "publisher"],
)
def test_namespaces_that_a_change_is_not_about_are_left_alone(
    change: Json, touched: set[str]
) -> None:
    store = store_of(*BASE)
    before = store.snapshot()
    add_document(store, change)
    found = Changes(before, store.snapshot())
    names = ("dev", "prod", "unheard-of")
    assert {
        name for name in names if found.touch(workload(namespace=name), (use(CHILD),))
    } == touched


def test_label_that_a_policy_selects_touches_its_namespace() -> None:
    store = store_of(*BASE, in_namespaces("strict", KNOWN, env="production"))
    before = store.snapshot()
    add_document(store, namespace("dev", env="production"))
    found = Changes(before, store.snapshot())
    assert found.touch(workload(namespace="dev"), (use(CHILD),))
    assert not found.touch(workload(namespace="prod"), (use(CHILD),))


def test_evidence_touches_its_model_and_what_was_made_from_it() -> None:
    store = store_of(*BASE, record(CHILD, baseModels=[PARENT]), record(OTHER))
    before = store.snapshot()
    add_document(store, record(PARENT))
    found = Changes(before, store.snapshot())
    assert found.touch(workload(), (use(CHILD),))
    assert found.touch(workload(), (use(OTHER), use(PARENT)))
    assert not found.touch(workload(), (use(OTHER),))


def test_nothing_has_changed_between_a_snapshot_and_itself() -> None:
    snapshot = store_of(*DOCUMENTS).snapshot()
    assert not any(Changes(snapshot, snapshot).touch(*about) for about in WORKLOADS)
