"""Authorities: known by how they are written, resolved from where their keys are kept."""

import base64
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signing.bundles import public_pem
from tests.unit.core.builders import namespaced, policy, publisher
from tests.unit.records.cluster import FakeMaterial
from weighmaster.api.v1alpha1.authority import Authority, Identity
from weighmaster.core.assess import MAX_AUTHORITIES
from weighmaster.core.evaluate.records import authority_id
from weighmaster.core.verify.authorities import KeyAuthority, KeylessAuthority, KnownAuthority
from weighmaster.errors import ClusterError
from weighmaster.records.authorities import Named, is_kept_elsewhere, named_identities, resolve

PEM = public_pem(ec.generate_private_key(ec.SECP256R1()))
KEYLESS = {"issuer": "https://a.example", "subject": "s@a.example"}
Json = dict[str, Any]


def identity(**fields: Any) -> Identity:
    return msgspec.convert(fields, Identity)


def identifier(document: Json) -> str:
    return authority_id(msgspec.convert(document, Authority))


async def known(material: FakeMaterial, **fields: Any) -> KnownAuthority:
    return await resolve(Named("1" * 16, identity(**fields)), material)


def signed_by(*authorities: Json) -> Json:
    return {"signature": {"authorities": list(authorities)}}


# Ids.


def test_one_identity_has_one_id_wherever_it_stands() -> None:
    authority = {"keyless": KEYLESS}
    found = named_identities(
        [policy(signed_by(authority)), policy(signed_by({"publisher": {}}, authority), name="b")],
        [publisher("acme", "hf://acme/**", identities=[authority])],
    )
    assert [each.id for each in found] == [identifier(authority)]


def test_order_of_fields_and_defaults_that_are_written_out_make_no_other_identity() -> None:
    roots = {"pem": PEM}
    bare = {"certificate": {"roots": roots, "subject": "x"}}
    full = {"certificate": {"extendedKeyUsage": "CodeSigning", "subject": "x", "roots": roots}}
    assert identifier(bare) == identifier(full)


IDENTITIES: list[Json] = [
    {"key": {"pem": PEM}},
    {"key": {"pem": PEM + "\n"}},
    {"key": {"secretRef": {"name": "a"}}},
    {"key": {"configMapRef": {"name": "a"}}},
    {"key": {"configMapRef": {"name": "a", "key": "other"}}},
    {"key": {"configMapRef": {"name": "b"}}},
    {"certificate": {"roots": {"pem": PEM}, "subject": "x"}},
    {"certificate": {"roots": {"pem": PEM}, "subject": "X"}},
    {"certificate": {"roots": {"pem": PEM}, "subject": "x", "extendedKeyUsage": "Any"}},
    {"keyless": {"issuer": "https://a.example", "subject": "s"}},
    {"keyless": {"issuer": "https://a.example/", "subject": "s"}},
    {"keyless": {"issuer": "https://a.example", "subject": "s "}},
    {"keyless": {"issuer": "https://a.example", "subjectPattern": "^s$"}},
    {
        "keyless": {
            "issuer": "https://a.example",
            "subject": "s",
            "trustRoot": {"configMapRef": {"name": "root"}},
        }
    },
]


def test_any_edit_of_an_identity_makes_another_one() -> None:
    assert len({identifier(document) for document in IDENTITIES}) == len(IDENTITIES)


def test_identities_whose_keys_are_kept_elsewhere_are_told_from_the_others() -> None:
    kept = [is_kept_elsewhere(msgspec.convert(document, Identity)) for document in IDENTITIES]
    assert [n for n, elsewhere in enumerate(kept) if elsewhere] == [2, 3, 4, 5, 13]


def test_policies_and_publishers_that_cannot_be_read_name_nobody() -> None:
    broken = policy(signed_by({"keyless": KEYLESS}), trusted=True)
    assert named_identities([broken, {}, {"spec": 5}], [{"spec": None}, {}]) == []


def test_namespaced_policies_do_not_crowd_out_others() -> None:
    crowd = [
        signed_by(*({"keyless": {**KEYLESS, "subject": f"s{16 * n + m}"}} for m in range(16)))
        for n in range(32)
    ]
    own = {"keyless": {**KEYLESS, "subject": "publisher"}}
    ours = {"keyless": {**KEYLESS, "subject": "ours"}}
    found = named_identities(
        [namespaced(*crowd), policy(signed_by(ours))],
        [publisher("acme", "hf://acme/**", identities=[own])],
    )
    found = found[:MAX_AUTHORITIES]
    assert {identifier(own), identifier(ours)} <= {each.id for each in found}


def test_identity_that_both_name_is_not_last_because_a_namespace_names_it_too() -> None:
    ours = {"keyless": KEYLESS}
    found = named_identities([namespaced(signed_by(ours)), policy(signed_by(ours))], [])
    assert len(found) == 1


# Key material.


async def test_key_is_found_wherever_it_is_kept() -> None:
    material = FakeMaterial()
    material.config_maps["m"] = {"value": PEM, "other": PEM}
    material.secrets["s"] = {"value": base64.b64encode(PEM.encode()).decode()}
    keys = set()
    for source in (
        {"pem": PEM},
        {"configMapRef": {"name": "m"}},
        {"configMapRef": {"name": "m", "key": "other"}},
        {"secretRef": {"name": "s"}},
    ):
        found = await known(material, key=source)
        assert isinstance(found.authority, KeyAuthority), found.problem
        keys.add(found.authority.fingerprint)
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"key": {"configMapRef": {"name": "missing"}}}, "cannot be read"),
        ({"key": {"secretRef": {"name": "missing"}}}, "cannot be read"),
        ({"key": {"configMapRef": {"name": "m", "key": "other"}}}, "m has no entry other"),
        ({"key": {"configMapRef": {"name": "m"}}}, "not a public key in PEM"),
        ({"key": {"secretRef": {"name": "plain"}}}, "Secret plain holds no text"),
        ({"key": {"secretRef": {"name": "binary"}}}, "Secret binary holds no text"),
        ({"key": {"pem": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}}, "PEM"),
        ({"key": {}}, "no key material"),
        ({}, "neither a key"),
        ({"certificate": {"roots": {"pem": PEM}, "subject": "x"}}, "not certificates in PEM"),
        ({"certificate": {"roots": {"configMapRef": {"name": "m"}}, "subject": "x"}}, "PEM"),
        ({"keyless": {"issuer": "https://a.example", "subjectPattern": "^(a$"}}, "RE2"),
        ({"keyless": {"issuer": "https://a.example", "subjectPattern": "^(?=a)$"}}, "RE2"),
        ({"keyless": {"issuer": "https://a.example"}}, "either a subject or a pattern"),
        (
            {"keyless": {**KEYLESS, "trustRoot": {"configMapRef": {"name": "m"}}}},
            "not a Sigstore trusted root",
        ),
        ({"keyless": {**KEYLESS, "trustRoot": {"configMapRef": {"name": "x"}}}}, "cannot be read"),
    ],
)
async def test_what_is_wrong_with_an_identity_is_said_and_not_raised(
    fields: Json, problem: str
) -> None:
    material = FakeMaterial()
    material.config_maps["m"] = {"value": "no key"}
    material.secrets["plain"] = {"value": PEM}
    material.secrets["binary"] = {"value": base64.b64encode(b"\xff\xfe").decode()}
    found = await known(material, **fields)
    assert found.authority is None
    assert problem in (found.problem or "")


@pytest.mark.parametrize("status", [403, 404])
async def test_material_that_may_not_be_read_is_a_problem_of_the_identity(status: int) -> None:
    material = FakeMaterial()
    material.failure = ClusterError("GET gave it", status=status)
    assert (await known(material, key={"secretRef": {"name": "s"}})).problem


@pytest.mark.parametrize("status", [0, 429, 500, 503])
async def test_outage_says_nothing_of_the_identity(status: int) -> None:
    material = FakeMaterial()
    material.failure = ClusterError("GET failed", status=status)
    with pytest.raises(ClusterError):
        await known(material, key={"secretRef": {"name": "s"}})


async def test_material_has_a_digest_only_where_it_can_change_by_itself() -> None:
    material = FakeMaterial()
    material.config_maps["m"] = {"value": PEM}
    inline = await known(material, key={"pem": PEM})
    other = await known(material, key={"pem": PEM})
    assert inline.material == other.material
    before = await known(material, key={"configMapRef": {"name": "m"}})
    material.config_maps["m"] = {"value": PEM + "\n"}
    after = await known(material, key={"configMapRef": {"name": "m"}})
    assert before.material != after.material


async def test_keyless_identity_is_of_the_public_instance_by_default() -> None:
    found = await known(FakeMaterial(), keyless=KEYLESS)
    assert isinstance(found.authority, KeylessAuthority)
    assert found.authority.subject == "s@a.example"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["key", "certificate", "trustRoot"]))
async def test_junk_for_key_material_never_raises(text: str, where: str) -> None:
    material = FakeMaterial()
    material.config_maps["m"] = {"value": f"-----BEGIN PUBLIC KEY-----\n{text}"}
    reference = {"configMapRef": {"name": "m"}}
    fields: Json = {"key": reference}
    if where == "certificate":
        fields = {"certificate": {"roots": reference, "subject": "x"}}
    elif where == "trustRoot":
        fields = {"keyless": {**KEYLESS, "trustRoot": reference}}
    found = await known(material, **fields)
    assert found.authority is None
    assert found.problem
