"""The log entry of an older keyless signature, which is verified here and not by sigstore."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.signing.bundles import Json, b64, public_pem
from tests.signing.chains import Party
from tests.signing.cosign import (
    DIGEST,
    OTHER,
    PREFIX,
    SIGNATURE,
    accepted,
    entry_body,
    keyless,
    legacy,
    noted,
    payload_of,
    promise,
    refusal,
    verify,
)
from tests.signing.sigstore_instance import EPOCH, SigstoreInstance, canonical
from weighmaster.core.evidence import SignatureBundle
from weighmaster.core.verify.authorities import (
    KeylessAuthority,
    keyless_authority,
)
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.core.verify.trust_root import TrustRoot
from weighmaster.errors import VerificationError

ISSUER = "https://accounts.example.com"
SUBJECT = "release@acme.example"
NAME = x509.RFC822Name(SUBJECT)
AT = datetime(2026, 3, 1, tzinfo=UTC)
SECONDS = int(AT.timestamp()) + 1


@pytest.fixture(scope="module")
def instance() -> SigstoreInstance:
    return SigstoreInstance()


@pytest.fixture(scope="module")
def signer(instance: SigstoreInstance) -> KeylessAuthority:
    return keyless_authority(TrustRoot(instance.trusted_root()), ISSUER, subject=SUBJECT)


@pytest.fixture(scope="module")
def party(instance: SigstoreInstance) -> Party:
    return instance.certificate(NAME, ISSUER, AT)


class Minted:
    """A signature of the older form, made of parts that a test may change."""

    def __init__(self, instance: SigstoreInstance, party: Party) -> None:
        self.instance = instance
        self.party = party
        self.payload = payload_of(DIGEST)
        self.signed = legacy(self.payload, party.key, [party.certificate])
        self.signature = dict(self.signed.annotations)[SIGNATURE]
        self.body = entry_body(self.payload, self.signature, party.certificate)
        self.seconds = SECONDS

    def with_entry(self, document: Json | str | None) -> SignatureBundle:
        text = json.dumps(document) if isinstance(document, dict) else document
        return noted(self.signed, bundle=text)

    def entry(self, key: ec.EllipticCurvePrivateKey | None = None) -> Json:
        return promise(self.body, self.seconds, key or self.instance.rekor_key)

    def finish(self) -> SignatureBundle:
        """With a promise over the parts as they are now."""
        return self.with_entry(self.entry())


@pytest.fixture
def minted(instance: SigstoreInstance, party: Party) -> Minted:
    return Minted(instance, party)


def test_without_a_log_entry_it_is_refused(minted: Minted, signer: KeylessAuthority) -> None:
    assert refusal(minted.with_entry(None), by=signer) is R.NOT_LOGGED
    assert refusal(minted.with_entry(""), by=signer) is R.NOT_LOGGED


@pytest.mark.parametrize("name", ["integratedTime", "logIndex"])
def test_a_promise_over_other_numbers_is_refused(
    minted: Minted, signer: KeylessAuthority, name: str
) -> None:
    entry = minted.entry()
    entry["Payload"][name] += 1
    assert refusal(minted.with_entry(entry), by=signer) is R.NOT_LOGGED


def test_a_promise_of_a_log_that_is_not_trusted_is_refused(
    minted: Minted, signer: KeylessAuthority
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert refusal(minted.with_entry(minted.entry(stranger)), by=signer) is R.NOT_LOGGED
    posing = minted.entry(stranger)
    posing["Payload"]["logID"] = minted.entry()["Payload"]["logID"]
    assert refusal(minted.with_entry(posing), by=signer) is R.NOT_LOGGED


def test_a_promise_in_the_name_of_another_log_is_refused(
    minted: Minted, signer: KeylessAuthority
) -> None:
    entry = minted.entry()
    entry["Payload"]["logID"] = "0" * 64
    signed = minted.instance.rekor_key.sign(canonical(entry["Payload"]), ec.ECDSA(hashes.SHA256()))
    entry["SignedEntryTimestamp"] = b64(signed)
    assert refusal(minted.with_entry(entry), by=signer) is R.NOT_LOGGED


def test_an_entry_of_another_artifact_does_not_count(
    minted: Minted, instance: SigstoreInstance, party: Party, signer: KeylessAuthority
) -> None:
    """CVE-2022-36056: a sound entry, of something else."""
    other = dict(keyless(payload_of(OTHER), instance, party, SECONDS).annotations)
    mixed = minted.with_entry(other[f"{PREFIX}bundle"])
    assert refusal(mixed, by=signer) is R.NOT_LOGGED


def test_an_entry_of_another_signature_or_certificate_does_not_count(
    minted: Minted, instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    again = legacy(minted.payload, minted.party.key)
    minted.body["spec"]["signature"]["content"] = dict(again.annotations)[SIGNATURE]
    assert refusal(minted.finish(), by=signer) is R.NOT_LOGGED
    stranger = instance.certificate(NAME, ISSUER, AT)
    minted.body = entry_body(minted.payload, minted.signature, stranger.certificate)
    assert refusal(minted.finish(), by=signer) is R.NOT_LOGGED


def test_a_signature_that_is_not_the_certificates_is_refused_though_it_was_logged(
    minted: Minted, signer: KeylessAuthority, key: ec.EllipticCurvePrivateKey
) -> None:
    forged = legacy(minted.payload, key, [minted.party.certificate])
    minted.signed = forged
    minted.signature = dict(forged.annotations)[SIGNATURE]
    minted.body["spec"]["signature"]["content"] = minted.signature
    assert refusal(minted.finish(), by=signer) is R.BAD_SIGNATURE


def test_an_entry_with_a_bare_key_in_it_does_not_count(
    minted: Minted, signer: KeylessAuthority
) -> None:
    """GHSA-fx35-mq7g-6g98: a key where the certificate should be."""
    content = b64(public_pem(minted.party.key).encode())
    minted.body["spec"]["signature"]["publicKey"]["content"] = content
    assert refusal(minted.finish(), by=signer) is R.MALFORMED
    minted.body["spec"]["signature"]["publicKey"]["content"] = b64(b"\xff")
    assert refusal(minted.finish(), by=signer) is R.MALFORMED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda body: body.update(kind="rekord"), R.UNSUPPORTED),
        (lambda body: body.update(apiVersion="0.0.2"), R.UNSUPPORTED),
        (lambda body: body.update(more=1), R.NOT_LOGGED),
        (lambda body: body["spec"].update(more=1), R.NOT_LOGGED),
        (lambda body: body["spec"]["data"]["hash"].update(algorithm="sha512"), R.NOT_LOGGED),
        (lambda body: body["spec"]["data"]["hash"].update(value="0" * 64), R.NOT_LOGGED),
        (lambda body: body["spec"].pop("data"), R.NOT_LOGGED),
        (lambda body: body["spec"].pop("signature"), R.MALFORMED),
        (lambda body: body.pop("spec"), R.MALFORMED),
    ],
)
def test_an_entry_of_another_shape_does_not_count(
    minted: Minted, signer: KeylessAuthority, change: Callable[[Json], None], reason: R
) -> None:
    change(minted.body)
    assert refusal(minted.finish(), by=signer) is reason


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.update(more=1),
        lambda entry: entry["Payload"].update(more=1),
        lambda entry: entry["Payload"].update(integratedTime=str(SECONDS)),
        lambda entry: entry["Payload"].update(integratedTime=True),
        lambda entry: entry["Payload"].update(integratedTime=float(SECONDS)),
        lambda entry: entry["Payload"].update(integratedTime=1 << 60),
        lambda entry: entry["Payload"].update(integratedTime=1 << 45),
        lambda entry: entry["Payload"].update(integratedTime=0),
        lambda entry: entry["Payload"].update(logIndex=-1),
        lambda entry: entry["Payload"].update(logID="A" * 64),
        lambda entry: entry["Payload"].update(logID=""),
        lambda entry: entry["Payload"].update(body={}),
        lambda entry: entry.pop("Payload"),
        lambda entry: entry.pop("SignedEntryTimestamp"),
    ],
)
def test_a_promise_of_another_shape_is_refused(
    minted: Minted, signer: KeylessAuthority, change: Callable[[Json], None]
) -> None:
    entry = minted.entry()
    change(entry)
    assert refusal(minted.with_entry(entry), by=signer) in (R.MALFORMED, R.UNSUPPORTED)


def test_a_promise_with_a_key_twice_is_refused(minted: Minted, signer: KeylessAuthority) -> None:
    text = json.dumps(minted.entry())
    doubled = text.replace('"logIndex"', '"logIndex": 1, "logIndex"', 1)
    assert refusal(minted.with_entry(doubled), by=signer) is R.MALFORMED


@pytest.mark.parametrize(
    ("seconds", "reason"), [(SECONDS + 3600, R.EXPIRED), (SECONDS - 3600, R.NOT_YET_VALID)]
)
def test_a_certificate_that_was_not_valid_when_it_was_logged_is_refused(
    minted: Minted, signer: KeylessAuthority, seconds: int, reason: R
) -> None:
    minted.seconds = seconds
    assert refusal(minted.finish(), by=signer) is reason


def test_a_certificate_that_no_certificate_log_has_is_refused(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    unlogged = instance.certificate(NAME, ISSUER, AT, ct_key=stranger)
    assert refusal(Minted(instance, unlogged).finish(), by=signer) is R.NOT_LOGGED


def test_a_certificate_for_another_purpose_is_refused(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH
    party = instance.certificate(NAME, ISSUER, AT, purpose=purpose)
    assert refusal(Minted(instance, party).finish(), by=signer) is R.UNSUITABLE_CERTIFICATE


def test_a_certificate_of_another_authority_is_refused_though_its_chain_is_beside_it(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    other = SigstoreInstance()
    party = other.certificate(NAME, ISSUER, AT)
    minted = Minted(instance, party)
    chain = other.fulcio.pem + other.root.pem
    assert refusal(noted(minted.finish(), chain=chain), by=signer) is R.UNTRUSTED_ROOT


def trust_root(instance: SigstoreInstance, change: Callable[[Json], None]) -> TrustRoot:
    document = json.loads(instance.trusted_root())
    change(document)
    return TrustRoot(json.dumps(document).encode())


def test_a_log_key_counts_only_while_it_was_in_use(
    minted: Minted, instance: SigstoreInstance
) -> None:
    for end, counts in ((AT - timedelta(days=1), False), (AT + timedelta(days=1), True)):

        def limit(document: Json, end: datetime = end) -> None:
            period = document["tlogs"][0]["publicKey"]["validFor"]
            period["end"] = end.isoformat().replace("+00:00", "Z")

        by = keyless_authority(trust_root(instance, limit), ISSUER, subject=SUBJECT)
        if counts:
            assert accepted(minted.finish(), by=by)
        else:
            assert refusal(minted.finish(), by=by) is R.NOT_LOGGED


def test_the_log_is_found_among_several_and_none_but_it_counts(
    minted: Minted, instance: SigstoreInstance
) -> None:
    stranger = SigstoreInstance()
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    raw_key = edwards.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def more(document: Json) -> None:
        own = document["tlogs"][0]
        del own["publicKey"]["validFor"]
        other = json.loads(stranger.trusted_root())["tlogs"][0]
        other["baseUrl"] = "https://rekor2.test"
        third = json.loads(json.dumps(other))
        third["publicKey"]["rawBytes"] = b64(raw_key)
        third["publicKey"]["keyDetails"] = "PKIX_ED25519"
        past = json.loads(json.dumps(own))
        past["publicKey"]["validFor"] = {"start": EPOCH, "end": "2021-01-01T00:00:00Z"}
        document["tlogs"] = [other, third, past, own]

    by = keyless_authority(trust_root(instance, more), ISSUER, subject=SUBJECT)
    assert accepted(minted.finish(), by=by)
    entry = minted.entry()
    entry["Payload"]["logID"] = hashlib.sha256(raw_key).hexdigest()
    assert refusal(minted.with_entry(entry), by=by) is R.NOT_LOGGED


def test_a_certificate_authority_counts_only_while_it_was_in_use(
    minted: Minted, instance: SigstoreInstance
) -> None:
    def limit(document: Json) -> None:
        end = (AT - timedelta(days=1)).isoformat().replace("+00:00", "Z")
        document["certificateAuthorities"][0]["validFor"]["end"] = end

    by = keyless_authority(trust_root(instance, limit), ISSUER, subject=SUBJECT)
    assert refusal(minted.finish(), by=by) is R.UNTRUSTED_ROOT


def test_no_byte_of_what_was_signed_or_promised_can_be_changed(
    minted: Minted, signer: KeylessAuthority
) -> None:
    good = minted.finish()
    assert accepted(good, by=signer)
    for key, value in good.annotations:
        for index in range(0, len(value), 11):
            swapped = "A" if value[index] != "A" else "B"
            changed = value[:index] + swapped + value[index + 1 :]
            found = tuple((k, changed if k == key else v) for k, v in good.annotations)
            mutant = SignatureBundle(
                kind=good.kind, content=good.content, source="x", annotations=found
            )
            with pytest.raises(VerificationError):
                verify(mutant, by=signer)
