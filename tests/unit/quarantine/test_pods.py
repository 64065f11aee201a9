"""Of pods no more is kept than the audit needs, and nothing in them can hide them from it."""

import copy
from typing import Any

import pytest

from tests.unit.quarantine.situations import pod, replica
from weighmaster.quarantine.pods import Pod, Pods

Json = dict[str, Any]
LABEL = "weighmaster.dev/sandbox"
AT, BY = "weighmaster.dev/quarantined-at", "weighmaster.dev/quarantined-by"


class Kept(Pods):
    """Pods that count how often they have changed."""

    def __init__(self) -> None:
        self.changes = 0
        super().__init__(self._count)

    def _count(self) -> None:
        self.changes += 1

    def take(self, document: Json) -> Pod | None:
        self.update("pods", self.keep(document))
        metadata = document["metadata"]
        return self.get(metadata["namespace"], metadata["name"])


def taken(document: Json) -> Pod:
    found = Kept().take(document)
    assert found is not None
    return found


def web() -> Json:
    document = pod("web")
    document["spec"]["containers"] = [{"name": "web", "image": "nginx:1.29"}]
    return document


def test_pod_that_serves_no_model_is_not_kept() -> None:
    assert Kept().take(web()) is None


def test_pod_without_a_model_is_kept_while_it_is_confined() -> None:
    document = web()
    document["metadata"]["labels"] = {LABEL: "isolated"}
    assert taken(document).profile == "isolated"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_pod_that_has_ended_is_forgotten(phase: str) -> None:
    pods = Kept()
    document = pod()
    assert pods.take(document) is not None
    document["status"]["phase"] = phase
    assert pods.take(document) is None
    assert pods.changes == 2


def test_replicas_serve_one_and_the_same() -> None:
    pods = Kept()
    one, two = pods.take(replica("a")), pods.take(replica("b"))
    assert one is not None
    assert two is not None
    assert one.served is two.served
    assert one.served.workload.name == "web-rs-", "as it was admitted"


def test_other_labels_models_or_namespaces_are_something_else() -> None:
    pods = Kept()
    found = [
        pods.take(replica("a")),
        pods.take(replica("b", labels={"app": "other"})),
        pods.take(replica("c", model="acme/other")),
        pods.take(replica("d", namespace="elsewhere")),
    ]
    assert len({id(each.served) for each in found if each is not None}) == 4


def test_status_that_changes_nothing_of_interest_is_no_change() -> None:
    pods = Kept()
    document = pod()
    pods.take(document)
    document["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    pods.take(document)
    assert pods.changes == 1


def test_spec_that_did_not_change_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = Kept()
    document = pod()
    before = pods.take(document)

    def detect(_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr("weighmaster.quarantine.pods.detect", detect)
    changed = copy.deepcopy(document)
    changed["metadata"]["labels"] = {LABEL: "isolated"}
    after = pods.take(changed)
    assert before is not None
    assert after is not None
    assert after.served is before.served
    changed["spec"]["containers"][0]["image"] = "vllm/vllm-openai:v0.12.0"
    with pytest.raises(AssertionError, match="read again"):
        pods.take(changed)


def test_image_that_is_swapped_in_a_running_pod_is_seen() -> None:
    pods = Kept()
    document = web()
    assert pods.take(document) is None
    document["spec"] = pod()["spec"]
    assert pods.take(document) is not None


def test_label_of_the_sandbox_is_not_among_those_that_are_judged() -> None:
    free = taken(pod(labels={"app": "x"}))
    confined = taken(pod(labels={"app": "x", LABEL: "isolated"}))
    assert free.served.workload.label_sets == confined.served.workload.label_sets
    assert confined.labels == {"app": "x", LABEL: "isolated"}


@pytest.mark.parametrize("label", ["", "Isolated", "a_b", "-a", "x" * 64, "isolated\n"])
def test_label_that_can_be_no_profile_confines_nothing(label: str) -> None:
    found = taken(pod(labels={LABEL: label}, annotations={AT: "2026-11-24T12:00:00Z"}))
    assert found.profile == ""
    assert not found.quarantined


def test_quarantine_is_read_from_the_pod() -> None:
    marks = {AT: "2026-11-24T12:00:00Z", BY: "team-a/strict"}
    found = taken(pod(labels={LABEL: "isolated"}, annotations=marks))
    assert found.quarantined
    assert found.quarantined_at is not None
    assert found.quarantined_at.isoformat() == "2026-11-24T12:00:00+00:00"
    assert found.quarantined_by == "team-a/strict"


def test_time_of_quarantine_that_is_none_is_unknown_and_not_long_ago() -> None:
    found = taken(pod(labels={LABEL: "isolated"}, annotations={AT: "yesterday"}))
    assert found.quarantined
    assert found.quarantined_at is None


def test_annotation_without_the_label_is_no_quarantine() -> None:
    assert not taken(pod(annotations={AT: "2026-11-24T12:00:00Z"})).quarantined


def test_controller_is_the_owner_and_no_other_reference() -> None:
    document = replica("a")
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}
    document["metadata"]["ownerReferences"].insert(0, other)
    owner = taken(document).owner
    assert owner is not None
    assert (owner.kind, owner.name) == ("ReplicaSet", "web-rs")


@pytest.mark.parametrize(
    "damage",
    [
        {"metadata": {"name": "server", "namespace": "default", "labels": {"a": 1}}},
        {"metadata": {"name": "server", "namespace": "default", "annotations": [1]}},
        {"status": {"startTime": "never"}},
        {"status": []},
    ],
)
def test_pod_that_no_api_server_would_store_is_kept_all_the_same(damage: Json) -> None:
    assert taken({**pod(), **damage}).name == "server"


def test_listing_replaces_everything() -> None:
    pods = Kept()
    pods.take(pod("old"))
    pods.replace("pods", [pods.keep(pod("new")), pods.keep(web())])
    assert [each.name for each in pods] == ["new"]
    assert len(pods) == 1
    pods.remove("pods", ("default", "new"))
    assert list(pods) == []
