"""Attestations: who attested what, in every form and by every method."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs

from tests.signing.attesting import (
    AT,
    FORMS,
    ISSUER,
    PASSED,
    SCAN,
    SUBJECT,
    Key,
    Make,
    about,
    attestation,
    beside,
    enveloped,
    holds,
    judged,
    keyless_envelope,
    refusals,
)
from tests.signing.bundles import Json, b64, certificate_bundle, public_pem
from tests.signing.chains import NOW, YEAR, Chain
from tests.signing.cosign import DIGEST, OTHER, entry_body, promise
from tests.signing.sigstore_instance import SigstoreInstance
from weighmaster.core.evidence import SignatureBundle
from weighmaster.core.verify.authorities import (
    KeyAuthority,
    KeylessAuthority,
    certificate_authority,
    key_authority,
    keyless_authority,
)
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.core.verify.trust_root import TrustRoot

NAME = x509.RFC822Name(SUBJECT)


# Forms.


@FORMS
@pytest.mark.parametrize("version", ["v0.1", "v1"])
def test_a_statement_about_the_artifact_that_the_key_signed_holds(
    key: Key, authority: KeyAuthority, make: Make, version: str
) -> None:
    statement = attestation(about(DIGEST), _type=f"https://in-toto.io/Statement/{version}")
    (found,) = judged(make(statement, key, DIGEST), by=authority).attestations
    assert found.signer.identity == authority.fingerprint
    assert found.statement.predicate == PASSED
    assert found.statement.predicate_type == SCAN
    assert found.issued is None


@FORMS
def test_a_statement_by_another_key_is_nobodys(authority: KeyAuthority, make: Make) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    found = refusals(make(attestation(about(DIGEST)), stranger, DIGEST), by=authority)
    assert found in ([R.BAD_SIGNATURE], [R.WRONG_IDENTITY])


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
@FORMS
def test_larger_curves_sign_as_their_programs_do(make: Make, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    found = make(attestation(about(DIGEST)), key, DIGEST)
    assert holds(found, by=key_authority(public_pem(key)))


def chained(chain: Chain, form: str, statement: Json) -> SignatureBundle:
    leaf = chain.leaf()
    path = [leaf.certificate, chain.intermediate.certificate]
    if form == "envelope":
        return enveloped(statement, leaf.key, DIGEST, path)
    return beside(certificate_bundle(statement, leaf.key, path), DIGEST)


@pytest.mark.parametrize("form", ["bundle", "envelope"])
def test_certificates_are_checked_as_for_signatures(form: str) -> None:
    chain = Chain()
    found = chained(chain, form, attestation(about(DIGEST)))
    root = chain.root.pem
    assert holds(found, by=certificate_authority(root, chain.identity))
    for by, now, reason in (
        (certificate_authority(root, "https://evil.example"), NOW, R.WRONG_IDENTITY),
        (certificate_authority(Chain().root.pem, chain.identity), NOW, R.UNTRUSTED_ROOT),
        (certificate_authority(root, chain.identity), NOW + 2 * YEAR, R.EXPIRED),
        (certificate_authority(root, chain.identity), NOW - 2 * YEAR, R.NOT_YET_VALID),
    ):
        assert refusals(found, by=by, now=now) == [reason]


def test_a_bundle_with_the_leaf_alone_is_judged_by_whoever_issued_it() -> None:
    chain = Chain()
    leaf = chain.leaf()
    document = certificate_bundle(attestation(about(DIGEST)), leaf.key, [leaf.certificate])
    inner = document["verificationMaterial"].pop("x509CertificateChain")["certificates"][0]
    document["verificationMaterial"]["certificate"] = inner
    by = certificate_authority(chain.intermediate.pem, chain.identity)
    assert holds(beside(document, DIGEST), by=by)


def test_a_keyless_attestation_holds_and_says_when_its_certificate_was_issued(
    keyless: Make, signer: KeylessAuthority
) -> None:
    found = judged(keyless(attestation(about(DIGEST))), by=signer, now=NOW + 5 * YEAR)
    (one,) = found.attestations
    assert (one.signer.identity, one.signer.issuer, one.issued) == (SUBJECT, ISSUER, AT)


def test_a_bundle_of_rekor_v2_holds(
    instance: SigstoreInstance, signer: KeylessAuthority, tmp_path: Path
) -> None:
    document = instance.sign_v2(attestation(about(DIGEST)), NAME, ISSUER, tmp_path)
    assert holds(beside(document, DIGEST), by=signer)


def test_a_keyless_attestation_is_by_nobody_else(keyless: Make, signer: KeylessAuthority) -> None:
    found = keyless(attestation(about(DIGEST)))
    root = signer.trust_root
    other = TrustRoot(SigstoreInstance().trusted_root())
    for by in (
        keyless_authority(root, ISSUER, subject="x@acme.example"),
        keyless_authority(root, "https://evil.example", subject=SUBJECT),
    ):
        assert refusals(found, by=by) == [R.WRONG_IDENTITY]
    assert refusals(found, by=keyless_authority(other, ISSUER, subject=SUBJECT))[0] in (
        R.NOT_LOGGED,
        R.UNTRUSTED_ROOT,
    )
    assert holds(found, by=keyless_authority(root, ISSUER, pattern="^.*@acme[.]example$"))


def changed_entry(found: SignatureBundle, change: Callable[[Json], None]) -> SignatureBundle:
    """An envelope with another log entry beside it, under its old promise."""
    notes = dict(found.annotations)
    key = "dev.sigstore.cosign/bundle"
    entry = json.loads(notes[key])
    change(entry)
    notes[key] = json.dumps(entry)
    return structs.replace(found, annotations=tuple(notes.items()))


def test_the_log_entry_must_be_of_this_very_envelope(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    party = instance.certificate(NAME, ISSUER, AT)
    at = AT + timedelta(seconds=1)
    mine = keyless_envelope(attestation(about(DIGEST)), instance, party, at)
    other = keyless_envelope(attestation(about(OTHER)), instance, party, at)
    assert holds(mine, by=signer)
    swapped = structs.replace(mine, annotations=other.annotations)
    assert refusals(swapped, by=signer) == [R.NOT_LOGGED]
    bare = structs.replace(mine, annotations=mine.annotations[:-1])
    assert refusals(bare, by=signer) == [R.NOT_LOGGED]
    late = keyless_envelope(attestation(about(DIGEST)), instance, party, AT + timedelta(hours=1))
    assert refusals(late, by=signer) == [R.EXPIRED]
    unsigned = changed_entry(mine, lambda entry: entry["Payload"].update(logIndex=9))
    assert refusals(unsigned, by=signer) == [R.NOT_LOGGED]


def changes(path: str, value: object) -> Callable[[Json], None]:
    """A change of one member of an entry, by the names and indexes on the way to it."""

    def change(body: Json) -> None:
        *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
        inner: Any = body
        for part in way:
            inner = inner[part]
        inner[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("spec.payloadHash.value", "0" * 64, R.NOT_LOGGED),
        ("spec.payloadHash.algorithm", "sha512", R.NOT_LOGGED),
        ("spec.payloadHash", None, R.NOT_LOGGED),
        ("spec.signatures.0.signature", b64(b"x"), R.NOT_LOGGED),
        ("spec.signatures.0.more", 1, R.NOT_LOGGED),
        ("spec.signatures.0.verifier", b64(b"x"), R.MALFORMED),
        ("spec.signatures.0.verifier", "!", R.MALFORMED),
        ("spec.signatures", [], R.MALFORMED),
        ("spec.signatures", [{}, {}], R.MALFORMED),
        ("spec.signatures", [1], R.MALFORMED),
        ("spec.envelopeHash", {"algorithm": "md5", "value": ""}, R.NOT_LOGGED),
        ("spec.envelopeHash", None, R.MALFORMED),
        ("spec.more", 1, R.NOT_LOGGED),
        ("more", 1, R.NOT_LOGGED),
        ("kind", "intoto", R.UNSUPPORTED),
        ("apiVersion", "0.0.2", R.UNSUPPORTED),
    ],
)
def test_a_log_entry_that_is_of_anything_else_proves_nothing(
    instance: SigstoreInstance, signer: KeylessAuthority, path: str, value: object, reason: R
) -> None:
    party = instance.certificate(NAME, ISSUER, AT)
    at = AT + timedelta(seconds=1)
    found = keyless_envelope(attestation(about(DIGEST)), instance, party, at, changes(path, value))
    assert refusals(found, by=signer) == [reason]


def test_a_log_entry_with_another_certificate_proves_nothing(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    party, other = (instance.certificate(NAME, ISSUER, AT) for _ in range(2))
    change = changes("spec.signatures.0.verifier", b64(other.pem.encode()))
    at = AT + timedelta(seconds=1)
    found = keyless_envelope(attestation(about(DIGEST)), instance, party, at, change)
    assert refusals(found, by=signer) == [R.NOT_LOGGED]


def test_how_an_envelope_was_written_when_it_was_logged_does_not_matter(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    party = instance.certificate(NAME, ISSUER, AT)
    at = AT + timedelta(seconds=1)
    change = changes("spec.envelopeHash.value", "0" * 64)
    found = keyless_envelope(attestation(about(DIGEST)), instance, party, at, change)
    assert holds(found, by=signer)


def test_the_log_entry_of_a_plain_signature_is_none_of_an_envelope(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    """Rekor has both kinds; each is believed for its own."""
    party = instance.certificate(NAME, ISSUER, AT)
    at = AT + timedelta(seconds=1)
    mine = keyless_envelope(attestation(about(DIGEST)), instance, party, at)
    signature = json.loads(mine.content)["signatures"][0]["sig"]
    body = entry_body(b"x", signature, party.certificate)
    entry = promise(body, int(at.timestamp()), instance.rekor_key)
    plain = changed_entry(mine, lambda old: old.update(entry))
    assert refusals(plain, by=signer) == [R.UNSUPPORTED]


def test_methods_are_not_mistaken_for_each_other(
    keyless: Make, signer: KeylessAuthority, key: Key, authority: KeyAuthority
) -> None:
    found = keyless(attestation(about(DIGEST)))
    assert refusals(found, by=authority)[0] in (R.WRONG_METHOD, R.BAD_SIGNATURE)
    by_key = enveloped(attestation(about(DIGEST)), key, DIGEST)
    assert refusals(by_key, by=signer) == [R.WRONG_METHOD]
