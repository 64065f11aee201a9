"""Credentials that records name, or that are there for all: each goes to its own host."""

import base64
import json
from functools import partial
from typing import Any

import pytest

from tests.unit.cluster.conftest import eventually
from tests.unit.records.cluster import (
    FakeCluster,
    FakeGatherer,
    FakeMaterial,
    Time,
    outage,
    record,
)
from tests.unit.records.conftest import Start
from tests.unit.records.situations import PINNED, condition, failure_of, quiet, resolved
from weighmaster.core.evidence import Unavailable, UnavailableReason
from weighmaster.errors import ClusterError
from weighmaster.gather.credentials import NONE, Credential

Json = dict[str, Any]
SECRET_TEXT = "hf_hunter2"
IMAGE = f"oci://r.example/acme/m@sha256:{'d' * 64}"


def failed(cluster: FakeCluster, name: str) -> bool:
    return cluster.status(name).get("state") == "Failed"


def gated(reference: str = PINNED) -> Unavailable:
    return Unavailable(
        reference=reference, reason=UnavailableReason.UNAUTHORIZED, message="it is gated"
    )


# Credentials that a record names.


async def test_token_of_the_secret_that_a_record_names_is_used_for_its_hub(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start
) -> None:
    material.put_secret("hf", HF_TOKEN=SECRET_TEXT.encode(), NGC_API_KEY=b"other")
    cluster.put("modelrecords", record(PINNED, "m", credentialsSecret="hf"))
    start()
    await eventually(resolved(cluster))
    (used,) = gatherer.credentials
    assert used.entries == (Credential("huggingface.co", SECRET_TEXT),)
    assert condition(cluster, "Credentials")["status"] == "True"


async def test_nothing_of_a_secret_is_in_a_status_or_a_log(
    cluster: FakeCluster,
    gatherer: FakeGatherer,
    material: FakeMaterial,
    start: Start,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gatherer.answers[PINNED] = gated()
    material.put_secret("hf", HF_TOKEN=SECRET_TEXT.encode())
    material.put_secret("broken", "kubernetes.io/tls", token=SECRET_TEXT.encode())
    cluster.put("modelrecords", record(PINNED, "m", credentialsSecret="hf"))
    cluster.put("modelrecords", record(IMAGE, "n", credentialsSecret="broken"))
    start()
    await eventually(lambda: bool(failure_of(cluster)) and bool(failure_of(cluster, "n")))
    written = json.dumps([cluster.status("m"), cluster.status("n")])
    for text in (SECRET_TEXT, base64.b64encode(SECRET_TEXT.encode()).decode().rstrip("=")):
        assert text not in written
        assert text not in capsys.readouterr().out


UNUSABLE: list[tuple[str, dict[str, bytes], str]] = [
    ("Opaque", {"other": b"x"}, "has none of .dockerconfigjson"),
    ("kubernetes.io/service-account-token", {"token": b"x"}, "of type"),
    ("Opaque", {"token": b"x"}, "no credentials for r.example; add them"),
    (
        "kubernetes.io/basic-auth",
        {"username": b"u", "password": b"p", "host": b"evil.example"},
        "no credentials for r.example",
    ),
]


async def test_secret_that_cannot_be_used_is_said_with_what_to_do_and_nobody_is_asked(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start
) -> None:
    for number, (kind, entries, _) in enumerate(UNUSABLE):
        material.put_secret(f"own{number}", kind, **entries)
        supplied = {"credentialsSecret": f"own{number}"}
        cluster.put("modelrecords", record(IMAGE, f"m{number}", **supplied))
    start()
    for number, (_, _, told) in enumerate(UNUSABLE):
        name = f"m{number}"
        await eventually(partial(failed, cluster, name))
        assert failure_of(cluster, name)["reason"] == "CredentialsUnusable"
        message = failure_of(cluster, name)["message"]
        where = f"spec.credentialsSecret: Secret own{number} in namespace weighmaster-system"
        assert where in message
        assert told in message
        assert condition(cluster, "Credentials", name)["status"] == "False"
    assert gatherer.asked == []


async def test_secret_that_may_not_be_read_is_said_with_the_right_to_grant(
    cluster: FakeCluster, material: FakeMaterial, start: Start
) -> None:
    material.failure = ClusterError("GET gave 403", status=403)
    cluster.put("modelrecords", record(PINNED, "m", credentialsSecret="own"))
    start()
    await eventually(lambda: failure_of(cluster).get("reason") == "CredentialsUnusable")
    assert "grant the controller get on secrets" in failure_of(cluster)["message"]


async def test_record_waits_while_the_api_server_cannot_be_asked_for_its_secret(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start, time: Time
) -> None:
    material.failure = ClusterError("GET gave 500", status=500)
    cluster.put("modelrecords", record(PINNED, "m", credentialsSecret="own"))
    cluster.put("modelrecords", record(f"hf://acme/n@{'b' * 40}", "n"))
    start()
    await eventually(resolved(cluster, "n"))
    assert cluster.status("m") == {}
    material.failure = None
    material.put_secret("own", token=b"x")
    await eventually(resolved(cluster))


async def test_secret_that_is_made_or_mended_later_is_noticed_within_seconds(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start, time: Time
) -> None:
    cluster.put("modelrecords", record(PINNED, "m", credentialsSecret="hf"))
    start()
    await eventually(lambda: failure_of(cluster).get("reason") == "CredentialsMissing")
    material.put_secret("hf", wrong=b"x")
    time.pass_by(seconds=16)
    await eventually(lambda: failure_of(cluster).get("reason") == "CredentialsUnusable")
    gatherer.answers[PINNED] = gated()
    material.put_secret("hf", token=b"old")
    time.pass_by(seconds=16)
    await eventually(lambda: failure_of(cluster).get("reason") == "Unauthorized")
    assert "the credentials in Secret hf in namespace" in failure_of(cluster)["message"]
    await quiet()
    assert len(gatherer.asked) == 1, "asked again for nothing"
    del gatherer.answers[PINNED]
    material.put_secret("hf", token=b"new")
    time.pass_by(seconds=16)
    await eventually(resolved(cluster))
    assert [used.entries[0].secret for used in gatherer.credentials] == ["old", "new"]


async def test_secret_that_was_rotated_while_no_keeper_ran_is_noticed(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start
) -> None:
    gatherer.answers[PINNED] = gated()
    material.put_secret("hf", token=b"old")
    cluster.put("modelrecords", record(PINNED, "m", credentialsSecret="hf"))
    start()
    await eventually(lambda: failure_of(cluster).get("reason") == "Unauthorized")
    del gatherer.answers[PINNED]
    material.put_secret("hf", token=b"new")
    start()
    await eventually(resolved(cluster))


async def test_evidence_outlives_the_credentials_it_was_gathered_with(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start, time: Time
) -> None:
    material.put_secret("hf", token=b"old")
    cluster.put("modelrecords", record(PINNED, "m", credentialsSecret="hf"))
    start()
    await eventually(resolved(cluster))
    del material.secrets["hf"]
    time.pass_by(days=10)
    await quiet()
    assert cluster.status("m")["state"] == "Resolved"
    assert len(gatherer.asked) == 1


async def test_outage_after_other_credentials_were_named_takes_no_evidence_away(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start
) -> None:
    cluster.put("modelrecords", record(PINNED, "m"))
    start()
    await eventually(resolved(cluster))
    gatherer.answers[PINNED] = outage(PINNED)
    material.put_secret("hf", token=b"x")
    cluster.put("modelrecords", record(PINNED, "m", credentialsSecret="hf"))
    await eventually(lambda: len(gatherer.asked) == 2)
    await quiet()
    assert cluster.status("m")["state"] == "Resolved"


async def test_secrets_are_polled_by_version_and_read_when_that_changes(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start, time: Time
) -> None:
    gatherer.answers[PINNED] = gated()
    material.put_secret("hf", token=b"old")
    cluster.put("modelrecords", record(PINNED, "m", credentialsSecret="hf"))
    start()
    await eventually(lambda: failure_of(cluster).get("reason") == "Unauthorized")
    for _ in range(25):
        time.pass_by(seconds=16)
        await quiet(0.03)
    await eventually(lambda: len(gatherer.asked) == 2)
    assert material.calls["read Secret hf"] == 1
    assert material.calls["version Secret hf"] > 5


# Credentials for everybody.


async def test_default_credentials_are_used_for_records_that_name_none(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start
) -> None:
    material.put_secret("hub", token=b"for all")
    material.put_secret("own", token=b"mine")
    cluster.put("modelrecords", record(PINNED, "m"))
    cluster.put("modelrecords", record(f"hf://acme/n@{'b' * 40}", "n", credentialsSecret="own"))
    cluster.put("modelrecords", record(IMAGE, "o"))
    start("hub", "absent")
    for name in "mno":
        await eventually(resolved(cluster, name))
    used = {
        asked: credentials
        for (asked, _), credentials in zip(gatherer.asked, gatherer.credentials, strict=True)
    }
    assert used[PINNED].entries == (Credential("huggingface.co", "for all"),)
    assert used[f"hf://acme/n@{'b' * 40}"].entries == (Credential("huggingface.co", "mine"),)
    assert used[IMAGE] == NONE


async def test_record_that_is_refused_is_told_how_to_supply_credentials(
    cluster: FakeCluster, gatherer: FakeGatherer, material: FakeMaterial, start: Start, time: Time
) -> None:
    gatherer.answers[PINNED] = gated()
    cluster.put("modelrecords", record(PINNED, "m"))
    start("absent")
    await eventually(lambda: failure_of(cluster).get("reason") == "Unauthorized")
    assert "spec.credentialsSecret" in failure_of(cluster)["message"]
    assert (
        "Secret absent, which is there for all records, does not exist"
        in (failure_of(cluster)["message"])
    )
    del gatherer.answers[PINNED]
    material.put_secret("absent", token=b"x")
    time.pass_by(seconds=16)
    await eventually(resolved(cluster))
