"""Credentials with real parts: a hub with gates, a locked registry, and one that is hostile."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.hub.artifacts import Contents, modelpack
from tests.hub.fake_registry import FakeRegistry
from tests.hub.registry import PASSWORD, USER, Registry
from tests.hub.repositories import model
from tests.hub.server import Hub
from tests.unit.records.cluster import NOW, FakeMaterial, record
from weighmaster.api.v1alpha1.record import EvidenceState, ModelRecordStatus
from weighmaster.gather.service import Gatherer
from weighmaster.gather.settings import GatherSettings
from weighmaster.records.due import Sought
from weighmaster.records.held import hold
from weighmaster.records.making import Due, StatusMaker
from weighmaster.records.supplied import Supplies

pytestmark = pytest.mark.network

TOKEN = "hf_hunter2"
FILES = {"config.json": b"{}"}


class Desk:
    """Makes the statuses of records, one gatherer for all of them."""

    def __init__(self, gatherer: Gatherer, settings: GatherSettings) -> None:
        self.gatherer = gatherer
        self.settings = settings
        self.material = FakeMaterial()

    async def status(self, reference: str, *defaults: str, **spec: Any) -> ModelRecordStatus:
        held = hold(record(reference, "m", **spec))
        assert held is not None
        supplies = Supplies(self.material, self.settings, defaults)
        await supplies.look([held], again=True)
        maker = StatusMaker(self.gatherer, supplies, lambda: NOW)
        made = await maker.status(Due(held, Sought(), "new"))
        assert made is not None
        return made[0]


@pytest.fixture
async def cdn() -> AsyncIterator[Hub]:
    async with Hub() as running:
        yield running


@pytest.fixture
async def hub(cdn: Hub) -> AsyncIterator[Hub]:
    async with Hub(token=TOKEN, cdn=cdn.url) as running:
        running.repositories = cdn.repositories
        yield running


@pytest.fixture
async def evil() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as running:
        yield running


def settings_for(hub: Hub, *addresses: str) -> GatherSettings:
    hosts = frozenset({hub.address, *addresses})
    return GatherSettings(
        endpoints={"hf": hub.url}, internal_hosts=hosts, plain_http_hosts=hosts, attempts=1
    )


@pytest.fixture
async def desk(hub: Hub, cdn: Hub, evil: FakeRegistry) -> AsyncIterator[Desk]:
    settings = settings_for(hub, cdn.address, evil.address)
    async with Gatherer(settings) as gatherer:
        yield Desk(gatherer, settings)


async def test_gated_model_is_opened_by_the_token_of_its_record_and_for_no_other(
    desk: Desk, hub: Hub, cdn: Hub
) -> None:
    repository = hub.add(model("acme/gated"))
    repository.gated = True
    reference = f"hf://acme/gated@{repository.commit}"
    desk.material.put_secret("hf", HF_TOKEN=TOKEN.encode())
    assert (await desk.status(reference)).state is EvidenceState.FAILED
    opened = await desk.status(reference, credentialsSecret="hf")
    assert opened.state is EvidenceState.RESOLVED, opened.failures
    assert opened.license == "Apache-2.0"
    closed = await desk.status(reference)
    assert closed.state is EvidenceState.FAILED, "what credentials saw was given to one without"
    assert closed.failures[0].reason == "Unauthorized"
    assert "spec.credentialsSecret" in closed.failures[0].message
    assert cdn.seen, "no weights were looked at"
    assert not [seen for seen in cdn.seen if "Authorization" in seen.headers]


async def test_token_that_opens_nothing_is_told_apart_from_none(desk: Desk, hub: Hub) -> None:
    repository = hub.add(model("acme/gated"))
    repository.gated = True
    desk.material.put_secret("hf", HF_TOKEN=b"wrong")
    status = await desk.status(f"hf://acme/gated@{repository.commit}", credentialsSecret="hf")
    assert status.state is EvidenceState.FAILED
    assert "the credentials in Secret hf" in status.failures[0].message


async def test_registry_with_a_lock_is_opened_by_a_pull_secret(
    hub: Hub, locked_registry: Registry
) -> None:
    contents = Contents()
    top = modelpack(contents, FILES)
    locked_registry.push("acme/locked", contents)
    settings = settings_for(hub, locked_registry.address)
    reference = f"oci://{locked_registry.address}/acme/locked@{top['digest']}"
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    async with Gatherer(settings) as gatherer:
        desk = Desk(gatherer, settings)
        for name, auth in (("pull", {"auth": pair}), ("wrong", {"username": "u", "password": "p"})):
            content = json.dumps({"auths": {locked_registry.address: auth}}).encode()
            entry = {".dockerconfigjson": content}
            desk.material.put_secret(name, "kubernetes.io/dockerconfigjson", **entry)
        user = {"username": USER.encode(), "password": PASSWORD.encode()}
        host = {"host": locked_registry.address.encode()}
        desk.material.put_secret("basic", "kubernetes.io/basic-auth", **user, **host)
        states = [
            (await desk.status(reference, *defaults, **spec)).state
            for defaults, spec in (
                ((), {}),
                ((), {"credentialsSecret": "wrong"}),
                ((), {"credentialsSecret": "pull"}),
                ((), {"credentialsSecret": "basic"}),
                (("wrong", "pull"), {}),
                (("pull",), {}),
                (("pull",), {"credentialsSecret": "wrong"}),
            )
        ]
    resolved, failed = EvidenceState.RESOLVED, EvidenceState.FAILED
    assert states == [failed, failed, resolved, resolved, failed, resolved, failed]


async def test_secret_is_not_sent_to_whom_a_record_names(
    desk: Desk, evil: FakeRegistry, hub: Hub
) -> None:
    modelpack(evil.contents("acme/m"), FILES)
    evil.challenge = 'Basic realm="give me"'
    desk.material.put_secret("hf", HF_TOKEN=TOKEN.encode(), NGC_API_KEY=b"key")
    auths = {"auths": {hub.address: {"username": "u", "password": "p"}}}
    entry = {".dockerconfigjson": json.dumps(auths).encode()}
    desk.material.put_secret("pull", "kubernetes.io/dockerconfigjson", **entry)
    reference = f"oci://{evil.address}/acme/m:v1"
    for name in ("hf", "pull"):
        status = await desk.status(reference, credentialsSecret=name)
        assert status.failures[0].reason == "CredentialsUnusable"
    await desk.status(reference, "hf", "pull")
    assert evil.seen
    assert not [seen for seen in evil.seen if "Authorization" in seen.headers]
