"""Records of what models were made from, and records that nothing uses."""

from datetime import timedelta
from typing import Any

import msgspec

from tests.signing.bundles import public_pem
from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import policy, publisher, snapshot, use, workload
from tests.unit.core.test_assess import signed_evidence
from tests.unit.records.cluster import (
    NOW,
    FakeCluster,
    FakeGatherer,
    Time,
    evidence,
    outage,
    record,
)
from tests.unit.records.conftest import Start
from tests.unit.records.situations import (
    COMMIT,
    KEY,
    LINEAGE,
    OTHER_KEY,
    PINNED,
    quiet,
    resolved,
)
from weighmaster.cluster.recording import MAX_NAMES
from weighmaster.core.assess import unavailable
from weighmaster.core.evaluate import Finding, evaluate
from weighmaster.core.evaluate.records import record_name
from weighmaster.core.evidence import CardFacts, Evidence
from weighmaster.core.reasons import Reason
from weighmaster.core.statements import Belonging
from weighmaster.core.values import Outcome
from weighmaster.errors import ClusterError
from weighmaster.records.held import hold
from weighmaster.records.status import MadeWith, status_patch

Json = dict[str, Any]


# Lineage.


def made_from(reference: str, *bases: str) -> Evidence:
    return evidence(reference, card=CardFacts(base_models=bases, source="README.md"))


def references_of(cluster: FakeCluster) -> set[str]:
    stored = cluster.objects["/apis/weighmaster.dev/v1alpha1/modelrecords"].values()
    return {each["spec"]["reference"] for each in stored}


async def test_lineage_is_followed_only_where_a_policy_asks_for_it(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://root/base")
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    await quiet()
    assert references_of(cluster) == {PINNED}
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    await eventually(lambda: references_of(cluster) == {PINNED, "hf://root/base"})


async def test_base_whose_record_could_not_be_made_is_tried_again(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://root/base")
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    await eventually(lambda: "hf://root/base" in references_of(cluster))
    base = next(
        n for n in cluster.objects["/apis/weighmaster.dev/v1alpha1/modelrecords"] if n != "m"
    )
    cluster.failures += [ClusterError("no", status=503)] * 2
    cluster.remove("modelrecords", base)
    await eventually(lambda: "hf://root/base" in references_of(cluster))


async def test_base_gets_a_record_although_a_stranger_has_taken_its_name(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://root/base")
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    cluster.put("modelrecords", record("hf://evil/m", record_name("hf://root/base")))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: "hf://root/base" in references_of(cluster))


async def test_names_of_a_base_that_are_all_taken_do_not_keep_the_keeper_busy(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://root/base", "hf://root/other")
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    for number in range(MAX_NAMES):
        taken = record_name("hf://root/base", number)
        cluster.put("modelrecords", record(f"hf://evil/m{number}", taken))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: "hf://root/other" in references_of(cluster))
    await quiet()
    assert cluster.calls["create"] <= MAX_NAMES + 2
    cluster.remove("modelrecords", record_name("hf://root/base", 3))
    time.pass_by(seconds=31)
    await eventually(lambda: "hf://root/base" in references_of(cluster))


async def test_model_with_many_parents_gets_records_of_all(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    bases = tuple(f"hf://merged/base{n}" for n in range(20))
    gatherer.answers[PINNED] = made_from(PINNED, *bases)
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: references_of(cluster) == {PINNED, *bases})


async def test_lineage_that_grows_without_end_makes_no_more_records_than_are_looked_at(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    def endless(reference: str) -> Evidence:
        end = reference[-12:].replace("/", "")
        return made_from(reference, *(f"hf://evil/{end}{n}" for n in range(8)))

    gatherer.finds = endless
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await quiet(0.4)
    assert len(references_of(cluster)) <= 32
    made = cluster.calls["create"]
    await quiet()
    assert cluster.calls["create"] == made


async def test_circle_in_a_lineage_ends(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://a/a", PINNED)
    gatherer.answers["hf://a/a"] = made_from("hf://a/a", "hf://b/b")
    gatherer.answers["hf://b/b"] = made_from("hf://b/b", "hf://a/a", PINNED)
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(lambda: references_of(cluster) == {PINNED, "hf://a/a", "hf://b/b"})
    await quiet()
    assert cluster.calls["create"] == 2


async def test_signatures_of_base_models_are_looked_for_and_decide(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    """A signed model that was made from one that only the publisher's name vouches for."""
    base = "hf://acme/base"
    card = CardFacts(base_models=(base,), source="README.md")
    none = CardFacts(source="README.md")
    at = f"{base}@{'b' * 40}"
    expires = (NOW + timedelta(hours=1)).timestamp()
    gatherer.answers[PINNED] = signed_evidence(KEY, PINNED, card=card)
    gatherer.answers[base] = evidence(base, resolved=at, card=none, expires_at=expires)
    acme = publisher("acme", "hf://acme/**", identities=[{"key": {"pem": public_pem(KEY)}}])
    rule = {"origin": {**LINEAGE["origin"], "assurance": "Signature"}}
    cluster.put("clustermodelpolicies", policy(rule))
    cluster.put("modelpublishers", acme)
    cluster.put("modelrecords", record(PINNED, "m"))

    def finding() -> Finding:
        stored = list(cluster.objects["/apis/weighmaster.dev/v1alpha1/modelrecords"].values())
        known = snapshot(policy(rule), acme, *stored)
        (found,) = evaluate(workload(), (use(PINNED),), known, time())
        return found

    start()
    await eventually(lambda: finding().outcome is Outcome.FAIL)
    assert finding().reason is Reason.NOT_SIGNED
    assert f"was made from {base}, which is not signed" in finding().message

    later = (NOW + timedelta(hours=2)).timestamp()
    gatherer.answers[base] = signed_evidence(KEY, base, resolved=at, card=none, expires_at=later)
    time.pass_by(minutes=56)
    await eventually(lambda: finding().outcome is Outcome.PASS)

    cluster.remove("modelpublishers", "acme")
    acme = publisher("acme", "hf://acme/**", identities=[{"key": {"pem": public_pem(OTHER_KEY)}}])
    cluster.put("modelpublishers", acme)
    await eventually(lambda: finding().reason is Reason.NOT_SIGNED)


# Records that nothing uses.

LABELS = {"app.kubernetes.io/managed-by": "weighmaster"}
OLD = {"creationTimestamp": "2026-09-01T00:00:00Z", "labels": LABELS}


async def test_own_record_that_nobody_uses_is_deleted_and_others_are_kept(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    used = {"annotations": {"weighmaster.dev/last-used": "2026-11-20"}}
    junk = {"annotations": {"weighmaster.dev/last-used": "~"}}
    fresh = {"creationTimestamp": "2026-11-20T00:00:00Z"}
    for name, metadata in {
        "unused": OLD,
        "used": {**OLD, **used},
        "fresh": {**OLD, **fresh},
        "of-people": {**OLD, "labels": {}},
        "of-others": {**OLD, "labels": {"app.kubernetes.io/managed-by": "helm"}},
        "with-junk": {**OLD, **junk},
    }.items():
        cluster.put("modelrecords", record(f"hf://acme/{name}@{COMMIT}", name, metadata=metadata))
    start()
    await eventually(lambda: cluster.calls["delete"] == 2)
    await quiet()
    kept = cluster.objects["/apis/weighmaster.dev/v1alpha1/modelrecords"]
    assert set(kept) == {"used", "fresh", "of-people", "of-others"}


async def test_base_model_is_kept_for_as_long_as_what_was_made_from_it(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    gatherer.answers[PINNED] = made_from(PINNED, "hf://root/base")
    cluster.put("clustermodelpolicies", policy(LINEAGE))
    used = {"annotations": {"weighmaster.dev/last-used": "2026-12-31"}}
    cluster.put("modelrecords", record(PINNED, "m", metadata={**OLD, **used}))
    start()
    await eventually(lambda: len(references_of(cluster)) == 2)
    time.pass_by(days=60)
    await quiet()
    assert references_of(cluster) == {PINNED, "hf://root/base"}
    assert cluster.calls["delete"] == 0
    time.pass_by(days=60)
    await eventually(lambda: references_of(cluster) == set())


def test_merge_patch_says_what_is_gone() -> None:
    before = {"state": "Resolved", "license": "MIT", "signedBy": "x", "expiresAt": "y"}
    held = hold({**record(PINNED, "m"), "status": before})
    assert held is not None
    patch = status_patch(unavailable(outage(PINNED), Belonging()), held, MadeWith(), NOW)
    assert {key for key in before if patch[key] is None} == {"license", "signedBy", "expiresAt"}
    assert b"null" not in msgspec.json.encode(patch["failures"])
    assert b"null" not in msgspec.json.encode(patch["conditions"])
