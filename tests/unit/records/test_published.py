"""What is published of Secrets and ConfigMaps: public keys and roots, and nothing else."""

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.signing.bundles import public_pem
from tests.signing.chains import Chain
from tests.unit.core.builders import policy, publisher
from tests.unit.records.cluster import FakeMaterial
from weighmaster.api.v1alpha1.authority import Authority, Identity
from weighmaster.core.evaluate.published import read_keys, with_keys
from weighmaster.core.evaluate.records import authority_id
from weighmaster.errors import ClusterError
from weighmaster.records.published import MAX_BYTES, MAX_KEYS, KeyReader, Published

Json = dict[str, Any]

KEY = ec.generate_private_key(ec.SECP256R1())
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PEM = public_pem(KEY)
POLICIES, PUBLISHERS = "clustermodelpolicies", "modelpublishers"
IN_SECRET: Json = {"key": {"secretRef": {"name": "k"}}}
ROOTS: Json = {
    "certificate": {"roots": {"configMapRef": {"name": "roots"}}, "subject": "release@acme.example"}
}
ELSEWHERE: Json = {
    "keyless": {
        "issuer": "https://a.example",
        "subject": "s",
        "trustRoot": {"configMapRef": {"name": "tuf"}},
    }
}


def identifier(authority: Json) -> str:
    return authority_id(msgspec.convert(authority, Authority))


def content(*authorities: Json) -> Json:
    return policy({"content": {"verify": "BeforeStart", "authorities": list(authorities)}})


async def published(material: FakeMaterial, *authorities: Json) -> Published:
    found = await KeyReader(material).of(POLICIES, content(*authorities))
    assert found is not None
    return found


async def test_key_in_a_secret_is_written_anew_and_what_stands_around_it_is_not_shown() -> None:
    material = FakeMaterial()
    material.put_secret("k", value=f"owner: alice, pin 1234\n{PEM}\ntoken=s3cr3t\n".encode())
    found = await published(material, IN_SECRET, {"key": {"pem": PEM}})
    assert found.listed() == [{"id": identifier(IN_SECRET), "pem": PEM}]
    assert found.problems == ()


async def test_private_key_is_no_public_one_and_is_never_shown() -> None:
    material = FakeMaterial()
    material.put_secret("k", value=PRIVATE)
    found = await published(material, IN_SECRET)
    assert found.keys == {}
    assert found.problems == ("an authority cannot be used: the key is not a public key in PEM",)


async def test_of_roots_beside_a_private_key_only_the_certificates_are_shown() -> None:
    material, chain = FakeMaterial(), Chain()
    root = chain.root.pem
    material.config_maps["roots"] = {"value": f"{root}\n{PRIVATE.decode()}"}
    found = await published(material, ROOTS)
    (pem,) = found.keys.values()
    assert pem.split() == root.split()
    assert "PRIVATE" not in pem


async def test_what_rules_and_publishers_name_is_published_and_trust_roots_are_not() -> None:
    material = FakeMaterial()
    material.put_secret("k", value=PEM.encode())
    signing = policy({"signature": {"authorities": [IN_SECRET, ELSEWHERE, {"publisher": {}}]}})
    found = await KeyReader(material).of(POLICIES, signing)
    assert found is not None
    assert list(found.keys) == [identifier(IN_SECRET)]
    acme = publisher("acme", "pvc://acme/**", identities=[IN_SECRET])
    assert await KeyReader(material).of(PUBLISHERS, acme) == found


@pytest.mark.parametrize("status", [403, 404])
async def test_what_is_not_there_is_said(status: int) -> None:
    material = FakeMaterial()
    material.failure = ClusterError(f"GET gave {status}", status=status)
    found = await published(material, IN_SECRET)
    assert found.keys == {}
    assert "cannot be read" in found.problems[0]


async def test_outage_says_nothing_of_a_key() -> None:
    material = FakeMaterial()
    material.failure = ClusterError("no route to host")
    assert await KeyReader(material).of(POLICIES, content(IN_SECRET)) is None


async def test_more_keys_than_a_status_holds_are_left_out_and_said() -> None:
    material = FakeMaterial()
    many = [{"key": {"secretRef": {"name": f"k-{n}"}}} for n in range(MAX_KEYS + 1)]
    for n in range(MAX_KEYS + 1):
        material.put_secret(f"k-{n}", value=PEM.encode())
    rules = [
        {"content": {"verify": "BeforeStart", "authorities": many[n : n + 16]}}
        for n in range(0, len(many), 16)
    ]
    found = await KeyReader(material).of(POLICIES, policy(*rules))
    assert found is not None
    assert len(found.keys) == MAX_KEYS
    assert sum(map(len, found.keys.values())) <= MAX_BYTES
    assert "the rest cannot verify weights" in found.problems[0]


async def test_what_is_published_is_what_the_webhook_reads() -> None:
    material = FakeMaterial()
    material.put_secret("k", value=PEM.encode())
    found = await published(material, IN_SECRET)
    keys = read_keys({"status": {"keys": found.listed()}})
    (identity,) = with_keys([msgspec.convert(IN_SECRET, Identity)], keys)
    assert identity.key is not None
    assert identity.key.pem == PEM
    other = msgspec.convert({"key": {"secretRef": {"name": "other"}}}, Identity)
    assert with_keys([other], keys) == [other]


@pytest.mark.parametrize("status", [None, [], {}, {"keys": None}, {"keys": [1]}, {"keys": [{}]}])
def test_status_of_any_shape_is_survived(status: Any) -> None:
    assert read_keys({"status": status}) == {}
