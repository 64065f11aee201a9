"""Attestations as signers write them, and as they should not."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import structs

from tests.signing.bundles import MODEL, Json, b64, envelope, raw
from tests.signing.chains import NOW, Party
from tests.signing.cosign import DIGEST, PREFIX, cosign_bundle, pem_of, promise
from tests.signing.sigstore_instance import SigstoreInstance
from weighmaster.core.evidence import SignatureBundle, SignatureKind
from weighmaster.core.verify.attestation import Attested, Target, attested, read_envelopes
from weighmaster.core.verify.authorities import Authority
from weighmaster.core.verify.reasons import VerificationReason

SCAN = "https://scan.example/v1"
PASSED: Json = {"result": "PASSED"}
FAILED: Json = {"result": "FAILED"}

ISSUER = "https://accounts.example.com"
SUBJECT = "scanner@acme.example"
AT = datetime(2026, 3, 1, tzinfo=UTC)
"""Who attests without a key, and when."""

HEX = DIGEST.removeprefix("sha256:")
ARTIFACT = Target(frozenset({HEX}), frozenset({HEX}))
"""The artifact that tests are about."""

Key = ec.EllipticCurvePrivateKey
Make = Callable[..., SignatureBundle]


def about(*digests: str, names: str = "m") -> list[Json]:
    """Subjects with these SHA-256 digests, with or without their algorithm in front."""
    return [{"name": names, "digest": {"sha256": each.removeprefix("sha256:")}} for each in digests]


def about_files(files: Mapping[str, bytes] = MODEL) -> list[Json]:
    """Subjects that are all these files, as ``sha256sum`` lists them."""
    return [
        {"name": name, "digest": {"sha256": hashlib.sha256(files[name]).hexdigest()}}
        for name in sorted(files)
    ]


def attestation(
    subjects: list[Json], predicate: Any = PASSED, kind: str = SCAN, **fields: Any
) -> Json:
    """A statement as cosign writes it."""
    return {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": kind,
        "subject": subjects,
        "predicate": predicate,
        **fields,
    }


def bundled(statement: Json | bytes, key: Key, subject: str | None = None) -> SignatureBundle:
    """In a Sigstore bundle, as a referrer of ``subject`` or beside files."""
    return beside(cosign_bundle(statement, key), subject)


def beside(document: Json | bytes, subject: str | None = None) -> SignatureBundle:
    """A Sigstore bundle of any kind."""
    return SignatureBundle(
        kind=SignatureKind.BUNDLE,
        content=document if isinstance(document, bytes) else raw(document),
        source="attestations/scan.sigstore.json",
        subject=subject,
    )


def enveloped(
    statement: Json | bytes,
    key: Key,
    subject: str | None = None,
    chain: list[x509.Certificate] | None = None,
    **notes: str,
) -> SignatureBundle:
    """In an envelope of cosign's, with annotations where it has certificates."""
    found = {"dev.cosignproject.cosign/signature": "", "predicateType": SCAN}
    if chain:
        found[f"{PREFIX}certificate"] = pem_of(chain[:1])
        found[f"{PREFIX}chain"] = pem_of(chain[1:])
    found |= {f"{PREFIX}{name}": value for name, value in notes.items()}
    return SignatureBundle(
        kind=SignatureKind.COSIGN_ATTESTATION,
        content=raw(envelope(statement, key, hashes.SHA256())),
        source="sha256-0.att",
        subject=subject,
        annotations=tuple(found.items()),
    )


def keyless_envelope(
    statement: Json | bytes,
    instance: SigstoreInstance,
    party: Party,
    at: datetime,
    change: Callable[[Json], None] = lambda _: None,
) -> SignatureBundle:
    """A keyless attestation of the artifact in an envelope, with a promise of the instance's log.

    ``change`` is made to the log entry before the log signs its promise.
    """
    certificate = party.certificate
    content = enveloped(statement, party.key).content
    body = envelope_entry(content, certificate)
    change(body)
    entry = promise(body, int(at.timestamp()), instance.rekor_key)
    return structs.replace(
        enveloped(statement, party.key, DIGEST, [certificate], bundle=json.dumps(entry)),
        content=content,
    )


def envelope_entry(content: bytes, certificate: x509.Certificate) -> Json:
    """What Rekor v1 stores of an envelope (dsse 0.0.1)."""
    document = json.loads(content)
    signature = document["signatures"][0]["sig"]
    return {
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "envelopeHash": _hash(content),
            "payloadHash": _hash(base64.b64decode(document["payload"])),
            "signatures": [
                {"signature": signature, "verifier": b64(pem_of([certificate]).encode())}
            ],
        },
    }


def _hash(content: bytes) -> Json:
    return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}


def judged(
    *material: SignatureBundle,
    by: Authority,
    kind: str = SCAN,
    target: Target = ARTIFACT,
    now: datetime = NOW,
) -> Attested:
    return attested([(each, target) for each in read_envelopes(material)], kind, by, now)


def holds(*material: SignatureBundle, by: Authority, **options: Any) -> bool:
    """Whether there is exactly one attestation, and nothing in doubt."""
    found = judged(*material, by=by, **options)
    return len(found.attestations) == 1 and not found.doubts


def refusals(*material: SignatureBundle, by: Authority, **options: Any) -> list[VerificationReason]:
    """Why there is none."""
    found = judged(*material, by=by, **options)
    assert not found.attestations
    assert not found.doubts
    assert all(each.message for each in found.refusals)
    return [VerificationReason(each.reason) for each in found.refusals]


def doubts(*material: SignatureBundle, by: Authority, **options: Any) -> list[VerificationReason]:
    """Why it cannot be said whether there is one."""
    found = judged(*material, by=by, **options)
    assert not found.attestations
    return [VerificationReason(each.reason) for each in found.doubts]


FORMS = pytest.mark.parametrize("make", [bundled, enveloped], ids=["bundle", "envelope"])
"""A test of both ways in which an attestation comes."""
