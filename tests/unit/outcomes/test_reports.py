"""Reports of pods: what is believed, and what it means for ModelRecords and people."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.core.builders import NOW, policy, snapshot
from tests.unit.enforce.test_verification import CONTENT, RECORDS, ask, fetch, server
from weighmaster.api.v1alpha1.record import ContentOutcome, ContentResult
from weighmaster.core.enforce.verification.container import read_container
from weighmaster.core.installation import LOCAL
from weighmaster.core.mounted import CONTAINER, Result, Verdict, Weighed, encode_verdict
from weighmaster.outcomes.entries import CONFIRMED_EVERY, MAX_ENTRIES, Due, Known, due
from weighmaster.outcomes.incidents import incident
from weighmaster.outcomes.reports import Report, read_reports

Json = dict[str, Any]

COMMIT = "a" * 40
HUB, STORE = f"hf://acme/base@{COMMIT}", "pvc://models/base"
AT = NOW - timedelta(minutes=5)


def pod(namespace: str = "default", name: str = "m") -> Json:
    """A pod as it is admitted, that fetches to a claim."""
    spec = {
        "initContainers": [fetch("acme/base", "base")],
        "containers": [server("one", "--model=/models/base")],
        "volumes": [
            {"name": "weights", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "claim", "emptyDir": {}},
        ],
    }
    made = ask(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec},
        snapshot(policy(CONTENT), *RECORDS),
    ).document
    assert made is not None
    found = copy.deepcopy(dict(made))
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u1"}
    found["metadata"] |= {
        "namespace": namespace,
        "uid": f"uid-{namespace}-{name}",
        "ownerReferences": [{**owner, "controller": True}],
    }
    return found


VERIFIED = Verdict(
    result=Result.VERIFIED,
    seconds=2.5,
    verified=(Weighed(reference=HUB, store=STORE, files=3, bytes=10),),
)
REFUSED = Verdict(
    result=Result.REFUSED,
    reason="Mismatch",
    message='1 files differ: "config.json"',
    reference=HUB,
    store=STORE,
    files=("config.json",),
)


def ended(verdict: Verdict | str, at: datetime = AT, state: str = "state", **where: str) -> Json:
    """A pod whose verifying container has ended."""
    text = verdict if isinstance(verdict, str) else encode_verdict(verdict).decode()
    terminated = {"exitCode": 1, "finishedAt": at.isoformat(), "message": text}
    found = pod(**where)
    found["status"] = {
        "initContainerStatuses": [
            {"name": "fetch-base", "state": {"terminated": terminated}},
            {"name": CONTAINER, "state": {"waiting": {}}, state: {"terminated": terminated}},
        ]
    }
    return found


def report(verdict: Verdict, at: datetime = AT, **where: str) -> Report:
    (found,) = read_reports(ended(verdict, at, **where), LOCAL.image)
    return found


# What is believed.


@pytest.mark.parametrize("state", ["state", "lastState"])
def test_what_our_container_said_last_is_a_report(state: str) -> None:
    (found,) = read_reports(ended(REFUSED, state=state), LOCAL.image)
    assert found.verdict == REFUSED
    assert (found.namespace, found.pod.name, found.at) == ("default", "m", AT)
    assert found.owner is not None
    assert found.owner.kind == "ReplicaSet"


def test_a_container_that_is_not_ours_is_not_believed() -> None:
    stored = ended(REFUSED)
    for container in stored["spec"]["initContainers"]:
        if container["name"] == CONTAINER:
            container["command"] = ["sh", "-c", "cat forged > /dev/termination-log"]
    assert read_reports(stored, LOCAL.image) == ()


def test_of_two_containers_of_the_name_none_is_believed() -> None:
    stored = ended(REFUSED)
    stored["spec"]["initContainers"].append(stored["spec"]["initContainers"][-1])
    assert read_reports(stored, LOCAL.image) == ()


@pytest.mark.parametrize("text", ["", "OOMKilled", "{}", '{"result": "great"}', "x" * 5000])
def test_what_is_no_verdict_is_no_report(text: str) -> None:
    assert read_reports(ended(text), LOCAL.image) == ()


def test_pods_of_any_shape_are_survived() -> None:
    shapes: tuple[Any, ...] = (
        *(None, [], "x"),
        {"initContainerStatuses": [1]},
        {"initContainerStatuses": {}},
    )
    for status in shapes:
        stored = {**ended(REFUSED), "status": status}
        assert read_reports(stored, LOCAL.image) == ()
    assert read_reports({}, LOCAL.image) == ()
    assert read_reports({"spec": {"initContainers": [None, "x", {}]}}, LOCAL.image) == ()


# What it says of references.

NOTHING: dict[str, Known] = {}


def known(key: str, *entries: ContentResult) -> dict[str, Known]:
    return {key: Known("name-of-it", key, entries)}


def entry(outcome: ContentOutcome, at: datetime, namespace: str = "default") -> ContentResult:
    return ContentResult(namespace=namespace, outcome=outcome, at=at, pod="earlier")


KEY = f"{STORE} in default"


def test_a_refused_claim_gets_a_record_so_that_the_next_pods_know() -> None:
    (found,) = due([report(REFUSED)], NOTHING)
    assert (found.reference, found.namespace, found.name) == (STORE, "default", "")
    (said,) = found.entries
    assert said.outcome is ContentOutcome.REFUSED
    assert (said.pod, said.reason, said.files) == ("m", "Mismatch", ["config.json"])
    assert said.message == REFUSED.message


def test_no_record_is_made_for_what_was_verified_or_is_fetched_anew() -> None:
    assert due([report(VERIFIED)], NOTHING) == []


def test_records_that_are_there_are_told_of_the_model_and_of_its_place() -> None:
    both = known(HUB) | known(KEY)
    found = due([report(VERIFIED)], both)
    assert [each.reference for each in found] == [HUB, STORE]
    assert all(each.entries[0].outcome is ContentOutcome.VERIFIED for each in found)


def test_what_a_record_says_already_is_not_written_again() -> None:
    (written,) = due([report(REFUSED)], NOTHING)
    assert due([report(REFUSED)], known(KEY, *written.entries)) == []


def test_pods_that_confirm_what_was_verified_lately_write_nothing() -> None:
    before = entry(ContentOutcome.VERIFIED, AT - CONFIRMED_EVERY / 2)
    assert due([report(VERIFIED)], known(KEY, before)) == []
    longer = entry(ContentOutcome.VERIFIED, AT - CONFIRMED_EVERY * 2)
    assert len(due([report(VERIFIED)], known(KEY, longer))) == 1


def test_a_later_verification_takes_the_place_of_what_was_refused_and_no_earlier_one() -> None:
    refused = entry(ContentOutcome.REFUSED, AT - timedelta(minutes=1))
    (found,) = due([report(VERIFIED)], known(KEY, refused))
    assert found.entries[0].outcome is ContentOutcome.VERIFIED
    assert due([report(VERIFIED)], known(KEY, entry(ContentOutcome.REFUSED, AT))) == []


def test_of_several_pods_the_latest_counts_in_any_order() -> None:
    early = report(VERIFIED, AT - timedelta(minutes=1), name="early")
    late = report(REFUSED, AT, name="late")
    for reports in ([early, late], [late, early]):
        (found,) = due(reports, NOTHING)
        assert found.entries[0].pod == "late"
    same = report(VERIFIED, AT, name="zzz")
    (found,) = due([same, late], NOTHING)
    assert found.entries[0].outcome is ContentOutcome.REFUSED


def test_a_claim_of_the_same_name_in_another_namespace_is_another_claim() -> None:
    found = due([report(REFUSED), report(REFUSED, namespace="other")], NOTHING)
    assert [each.namespace for each in found] == ["default", "other"]


def test_entries_of_other_namespaces_stay_and_those_that_refuse_are_not_crowded_out() -> None:
    others = [
        entry(ContentOutcome.VERIFIED, AT - timedelta(seconds=n), f"ns{n}")
        for n in range(MAX_ENTRIES - 1)
    ]
    old = entry(ContentOutcome.REFUSED, AT - timedelta(days=9), "old")
    hub = known(HUB, *others, old)
    (found,) = [each for each in due([report(VERIFIED)], hub) if each.name]
    assert len(found.entries) == MAX_ENTRIES
    assert found.entries[0] == old
    assert any(each.namespace == "default" for each in found.entries)


def test_nothing_is_believed_about_what_the_container_was_not_told_to_check() -> None:
    foreign = Verdict(
        result=Result.REFUSED, reason="Mismatch", message="x", reference="hf://a/b", store=STORE
    )
    assert due([report(foreign)], known("hf://a/b") | known(KEY)) == []
    moved = Verdict(
        result=Result.REFUSED, reason="Mismatch", message="x", reference=HUB, store="pvc://other"
    )
    assert due([report(moved)], known(HUB) | known("pvc://other in default")) == []


def test_a_verification_that_could_not_be_made_says_nothing_of_a_model() -> None:
    failed = Verdict(result=Result.FAILED, reason="AuthorityUnusable", reference=HUB, store=STORE)
    assert due([report(failed)], known(HUB) | known(KEY)) == []


def test_expectations_of_the_test_pod_are_those_that_reports_are_about() -> None:
    (container,) = [each for each in pod()["spec"]["initContainers"] if each["name"] == CONTAINER]
    (expected,) = read_container(container, LOCAL.image) or ()
    assert (expected.reference, expected.store) == (HUB, STORE)


# What people are told.


def test_an_event_names_the_file_the_place_and_what_follows() -> None:
    found = incident(report(REFUSED))
    assert found is not None
    assert found.reason == "WeightsRefused"
    assert "config.json" in found.message
    assert HUB in found.message
    assert STORE in found.message
    assert "do not start" in found.message
    assert found.owner is not None
    assert found.about.name == "m"


def test_what_went_well_is_no_event_and_what_failed_is_another() -> None:
    assert incident(report(VERIFIED)) is None
    failed = Verdict(result=Result.FAILED, reason="Malformed", message="not usable")
    found = incident(report(failed))
    assert found is not None
    assert found.reason == "VerificationFailed"
    assert "not usable" in found.message


def test_the_same_again_is_the_same_event_and_another_file_is_another() -> None:
    def key(verdict: Verdict, at: datetime = AT) -> str:
        found = incident(report(verdict, at))
        assert found is not None
        return found.key

    other = Verdict(
        result=Result.REFUSED, reason="Mismatch", message="another", reference=HUB, store=STORE
    )
    assert key(REFUSED) == key(REFUSED, AT + timedelta(minutes=1))
    assert key(REFUSED) != key(other)


def test_due_records_are_worked_on_in_order_of_what_they_are_about() -> None:
    reports = [report(REFUSED, namespace=name) for name in ("c", "a", "b")]
    found: list[Due] = due(reports, NOTHING)
    assert [each.namespace for each in found] == ["a", "b", "c"]
    assert found == due(reports[::-1], NOTHING)
    assert AT.tzinfo is UTC
