"""Signatures and statements that people supply: read where they say, and taken back at once."""

from datetime import timedelta
from typing import Any

import pytest

from tests.signing.bundles import MODEL, key_bundle, model_statement, raw
from tests.unit.cluster.conftest import eventually
from tests.unit.core.builders import policy
from tests.unit.core.test_assess import file_facts
from tests.unit.records.cluster import (
    FakeCluster,
    FakeGatherer,
    FakeMaterial,
    Time,
    evidence,
    outage,
    record,
)
from tests.unit.records.conftest import Start
from tests.unit.records.situations import (
    KEY,
    PINNED,
    SIGNED,
    condition,
    failure_of,
    quiet,
    resolved,
)
from weighmaster.core.assess import MAX_BUNDLE

Json = dict[str, Any]
BUNDLE = raw(key_bundle(model_statement(MODEL), KEY))
DETACHED = {"signature": {"configMapRef": {"name": "bundle"}}}


# Detached signatures.


def unsigned(gatherer: FakeGatherer) -> None:
    gatherer.answers[PINNED] = evidence(PINNED, files=file_facts(MODEL))


def verified(cluster: FakeCluster) -> bool:
    authorities = cluster.status("m").get("authorities") or [{}]
    return authorities[0].get("verified") is True


@pytest.mark.parametrize("kind", ["secretRef", "configMapRef"])
async def test_detached_signature_is_read_from_where_the_record_says(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start, kind: str
) -> None:
    unsigned(gatherer)
    material.put_secret("bundle", model=BUNDLE)
    material.config_maps["bundle"] = {"model": BUNDLE.decode()}
    cluster.put("clustermodelpolicies", policy(SIGNED))
    reference = {"name": "bundle", "key": "model"}
    cluster.put("modelrecords", record(PINNED, "m", signature={kind: reference}))
    start()
    await eventually(lambda: verified(cluster))
    assert condition(cluster, "DetachedSignature")["status"] == "True"
    assert not cluster.status("m").get("failures")


async def test_detached_signature_that_changes_is_verified_again(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start, time: Time
) -> None:
    unsigned(gatherer)
    cluster.put("clustermodelpolicies", policy(SIGNED))
    cluster.put("modelrecords", record(PINNED, "m", **DETACHED))
    start()
    await eventually(resolved(cluster))
    assert failure_of(cluster)["reason"] == "SignatureNotRead"
    assert (
        "ConfigMap bundle in namespace weighmaster-system does not exist; create it"
        in (failure_of(cluster)["message"])
    )
    assert condition(cluster, "DetachedSignature")["status"] == "False"
    material.config_maps["bundle"] = {"value": BUNDLE.decode()}
    time.pass_by(seconds=16)
    await eventually(lambda: verified(cluster))
    material.config_maps["bundle"] = {"value": BUNDLE.decode().replace('"payload"', '"payloat"')}
    time.pass_by(seconds=16)
    await eventually(lambda: not verified(cluster))
    await quiet()
    assert cluster.calls["patch_status"] == 3


async def test_detached_signature_that_was_taken_back_does_not_outlive_an_outage_of_the_hub(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start, time: Time
) -> None:
    unsigned(gatherer)
    material.config_maps["bundle"] = {"value": BUNDLE.decode()}
    cluster.put("clustermodelpolicies", policy(SIGNED))
    cluster.put("modelrecords", record(PINNED, "m", **DETACHED))
    start()
    await eventually(lambda: verified(cluster))
    gatherer.answers[PINNED] = outage(PINNED)
    del material.config_maps["bundle"]
    time.pass_by(seconds=16)
    await eventually(lambda: cluster.status("m")["state"] == "Unavailable")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "has no entry value; add it"),
        ({"value": "x" * (MAX_BUNDLE + 1)}, f"larger than {MAX_BUNDLE} bytes"),
    ],
)
async def test_detached_signature_that_cannot_be_read_is_said_with_what_to_do(
    cluster: FakeCluster,
    gatherer: FakeGatherer,
    material: FakeMaterial,
    start: Start,
    data: dict[str, str],
    told: str,
) -> None:
    unsigned(gatherer)
    material.config_maps["bundle"] = data
    cluster.put("clustermodelpolicies", policy(SIGNED))
    cluster.put("modelrecords", record(PINNED, "m", **DETACHED))
    start()
    await eventually(resolved(cluster))
    assert failure_of(cluster)["reason"] == "SignatureNotRead"
    assert told in failure_of(cluster)["message"]
    assert told in cluster.status("m")["authorities"][0]["message"]


async def test_largest_detached_signature_is_looked_at(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start
) -> None:
    unsigned(gatherer)
    material.config_maps["bundle"] = {"value": "x" * MAX_BUNDLE}
    cluster.put("modelrecords", record(PINNED, "m", **DETACHED))
    start()
    await eventually(resolved(cluster))
    assert not cluster.status("m").get("failures")


async def test_secret_with_a_signature_that_is_not_base64_is_said_so(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start
) -> None:
    unsigned(gatherer)
    material.secrets["bundle"] = {"value": "%"}
    signature = {"secretRef": {"name": "bundle"}}
    cluster.put("modelrecords", record(PINNED, "m", signature=signature))
    start()
    await eventually(resolved(cluster))
    assert "not base64" in failure_of(cluster)["message"]


# What nothing can be fetched of.


async def test_assertions_about_a_bucket_become_its_status(
    cluster: FakeCluster, gatherer: FakeGatherer, start: Start, time: Time
) -> None:
    cluster.put("clustermodelpolicies", policy(SIGNED))
    cluster.put("modelrecords", record("s3://bank/llm", "m"))
    start()
    await eventually(lambda: failure_of(cluster).get("reason") == "UnsupportedScheme")
    assert "spec.asserted" in failure_of(cluster)["message"]
    cluster.put("modelrecords", record("s3://bank/llm", "m", asserted={"license": "MIT"}))
    await eventually(lambda: cluster.status("m").get("state") == "Asserted")
    status = cluster.status("m")
    assert (status["license"], status["licenseBasis"]) == ("MIT", "asserted")
    assert condition(cluster, "Ready")["status"] == "True"
    time.pass_by(seconds=timedelta(days=40).total_seconds())
    await quiet()
    cluster.put("modelrecords", record("s3://bank/llm", "m"))
    await eventually(lambda: cluster.status("m").get("state") == "Failed")
    assert "license" not in cluster.status("m")
    assert gatherer.asked == []
    assert cluster.calls["patch_status"] == 3
