"""The keeper looks for the attestations that policies ask for, and for no others."""

from typing import Any

import msgspec
from msgspec import structs

from tests.signing.attesting import (
    FAILED,
    PASSED,
    SCAN,
    about,
    about_files,
    attestation,
    bundled,
)
from tests.signing.bundles import MODEL, public_pem
from tests.signing.cosign import DIGEST
from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import namespaced, policy, publisher
from tests.unit.core.test_assess import file_facts
from tests.unit.records.cluster import (
    FakeCluster,
    FakeGatherer,
    FakeMaterial,
    Time,
    as_decided_by,
    evidence,
    record,
)
from tests.unit.records.conftest import Start
from tests.unit.records.situations import KEY, OTHER_KEY, PINNED, SIGNED, quiet, resolved
from weighmaster.api.v1alpha1.authority import Authority
from weighmaster.core.attestations import MAX_DEMANDS
from weighmaster.core.evaluate.records import authority_id
from weighmaster.core.evidence import Evidence
from weighmaster.records.authorities import demanded_attestations

Json = dict[str, Any]

MINE: Json = {"key": {"pem": public_pem(KEY)}}
OTHER: Json = {"key": {"pem": public_pem(OTHER_KEY)}}
PUBLISHER: Json = {"publisher": {}}


def attested(*authorities: Json, kind: str = SCAN) -> Json:
    return {"attestation": {"predicateType": kind, "authorities": list(authorities or (MINE,))}}


def identifier(document: Json) -> str:
    return authority_id(msgspec.convert(document, Authority))


def scanned(reference: str = PINNED, predicate: Json = PASSED) -> Evidence:
    bundle = bundled(attestation(about_files(), predicate), KEY)
    return evidence(reference, files=file_facts(MODEL), signatures=(bundle,))


def said(cluster: FakeCluster) -> dict[tuple[str, str], str]:
    """What the record says of each demand."""
    found = cluster.status("m").get("attestations") or []
    return {(each["predicateType"], each["authority"]): each["state"] for each in found}


# What is looked for.


def demanded(*policies: Json, owners: tuple[Json, ...] = ()) -> list[tuple[str, str]]:
    return [(each.predicate_type, each.by.id) for each in demanded_attestations(policies, owners)]


def test_each_type_of_each_authority_is_looked_for_once() -> None:
    found = demanded(
        policy(attested(MINE, OTHER), SIGNED), policy(attested(OTHER, kind="a"), attested(MINE))
    )
    assert found == sorted(
        [(SCAN, identifier(MINE)), (SCAN, identifier(OTHER)), ("a", identifier(OTHER))]
    )


def test_a_publisher_stands_for_the_identities_of_the_models_own() -> None:
    acme = publisher("acme", "hf://acme/**", identities=[MINE, OTHER])
    assert {key for _, key in demanded(policy(attested(PUBLISHER)), owners=(acme,))} == {
        identifier(MINE),
        identifier(OTHER),
    }
    assert demanded(policy(attested(PUBLISHER))) == []


def test_what_cannot_be_read_demands_nothing() -> None:
    torn = policy(attested())
    torn["spec"]["rules"][0]["attestation"]["more"] = 1
    assert demanded(torn, policy(SIGNED), {"kind": "ClusterModelPolicy"}) == []


def test_demands_of_namespaces_do_not_crowd_out_those_of_the_cluster() -> None:
    many = [namespaced(attested(kind=f"a{n:03}")) for n in range(MAX_DEMANDS + 10)]
    found = demanded(*many, policy(attested(kind="z"), attested(kind="a000")))
    assert [kind for kind, _ in found[:3]] == ["a000", "z", "a001"]
    assert len(found) > MAX_DEMANDS


# The keeper.


async def test_what_a_policy_asks_for_is_looked_for_when_it_is_asked(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.finds = scanned
    cluster.put("clustermodelpolicies", policy(SIGNED))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    assert said(cluster) == {}
    cluster.put("clustermodelpolicies", policy(SIGNED, attested(MINE, OTHER)))
    mine, other = (SCAN, identifier(MINE)), (SCAN, identifier(OTHER))
    await eventually(lambda: said(cluster) == {mine: "Attested", other: "NotAttested"})
    found = as_decided_by(cluster.record("m")).attestations
    assert found[mine].statements[0].predicate == '{"result":"PASSED"}'
    assert [each["id"] for each in cluster.status("m")["authorities"]] == [identifier(MINE)]
    cluster.put("clustermodelpolicies", policy(SIGNED, attested(OTHER, kind="bom")))
    await eventually(lambda: said(cluster) == {("bom", identifier(OTHER)): "NotAttested"})
    cluster.put("clustermodelpolicies", policy(SIGNED))
    await eventually(lambda: said(cluster) == {})
    await quiet()
    assert cluster.calls["patch_status"] == 4


async def test_a_changed_expression_is_no_reason_to_work(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start
) -> None:
    gatherer.finds = scanned
    cluster.put("clustermodelpolicies", policy(attested()))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    rule = attested()
    rule["attestation"]["expression"] = "predicate.result == 'PASSED'"
    cluster.put("clustermodelpolicies", policy(rule))
    await quiet()
    assert cluster.calls["patch_status"] == 1


async def test_a_later_scan_is_seen_when_signatures_are_looked_up_again(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    def until_later(found: Evidence) -> Evidence:
        return structs.replace(found, signatures_expire_at=time.now.timestamp() + 3600)

    gatherer.answers[PINNED] = until_later(scanned())
    cluster.put("clustermodelpolicies", policy(attested()))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    time.pass_by(minutes=59, seconds=30)
    gatherer.answers[PINNED] = until_later(scanned(predicate=FAILED))

    def predicates() -> list[str]:
        return [each["predicate"] for each in cluster.status("m")["attestations"][0]["statements"]]

    await eventually(lambda: predicates() == ['{"result":"FAILED"}'])


async def test_a_scan_that_failed_counts_although_it_is_taken_out_of_the_registry(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    reference = f"oci://registry.example/acme/m@{DIGEST}"

    def attested_as(*predicates: Json) -> Evidence:
        material = [bundled(attestation(about(DIGEST), each), KEY, DIGEST) for each in predicates]
        return evidence(
            reference,
            signatures=tuple(material),
            signatures_expire_at=time.now.timestamp() + 3600,
        )

    def statements() -> list[tuple[str, bool]]:
        (found,) = cluster.status("m").get("attestations") or [{}]
        return sorted(
            (each["predicate"], "withdrawnAt" in each) for each in found.get("statements", ())
        )

    def later(*predicates: Json) -> None:
        time.pass_by(hours=1)
        gatherer.answers[reference] = attested_as(*predicates)

    passed, failed = '{"result":"PASSED"}', '{"result":"FAILED"}'
    gatherer.answers[reference] = attested_as(PASSED, FAILED)
    cluster.put("clustermodelpolicies", policy(attested()))
    cluster.put("modelrecords", record(reference, "m"))
    start()
    await eventually(lambda: statements() == [(failed, False), (passed, False)])
    later(PASSED)
    await eventually(lambda: statements() == [(failed, True), (passed, False)])
    start()  # another keeper knows it too: it is in the record
    later()
    await eventually(lambda: statements() == [(failed, True), (passed, True)])
    later({"result": "PASSED", "again": 1})
    await eventually(lambda: statements() == [('{"result":"PASSED","again":1}', False)])


async def test_an_attesters_key_that_is_exchanged_counts_no_more(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start, time: Time
) -> None:
    gatherer.finds = scanned
    by_map: Json = {"key": {"configMapRef": {"name": "keys"}}}
    material.config_maps["keys"] = {"value": public_pem(KEY)}
    cluster.put("clustermodelpolicies", policy(attested(by_map)))
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    demand = (SCAN, identifier(by_map))
    await eventually(lambda: said(cluster) == {demand: "Attested"})
    material.config_maps["keys"] = {"value": public_pem(OTHER_KEY)}
    time.pass_by(seconds=20)
    await eventually(lambda: said(cluster) == {demand: "NotAttested"})
    del material.config_maps["keys"]
    time.pass_by(seconds=20)
    await eventually(lambda: said(cluster) == {demand: "Unknown"})
