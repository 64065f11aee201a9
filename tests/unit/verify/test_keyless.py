"""The keyless method, against a Sigstore instance of our own, offline."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.signing.bundles import Json, b64, model_statement
from tests.signing.chains import NOW, YEAR
from tests.signing.models import accepted, files_of, refusal, verify
from tests.signing.sigstore_instance import SigstoreInstance
from weighmaster.core.verify.authorities import KeylessAuthority, keyless_authority
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.core.verify.trust_root import TrustRoot
from weighmaster.errors import AuthorityError
from weighmaster.verifying.trust_roots import public_good_trust_root

ISSUER = "https://accounts.example.com"
SUBJECT = "release@acme.example"
AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def instance() -> SigstoreInstance:
    return SigstoreInstance()


@pytest.fixture(scope="module")
def trust_root(instance: SigstoreInstance) -> TrustRoot:
    return TrustRoot(instance.trusted_root())


@pytest.fixture
def bundle(instance: SigstoreInstance) -> Json:
    return instance.sign(model_statement(), x509.RFC822Name(SUBJECT), ISSUER, AT)


@pytest.fixture
def signer(trust_root: TrustRoot) -> KeylessAuthority:
    return keyless_authority(trust_root, ISSUER, subject=SUBJECT)


def test_a_bundle_of_rekor_v1_is_verified_years_after_its_certificate_expired(
    bundle: Json, signer: KeylessAuthority
) -> None:
    verified = verify(bundle, signer, now=NOW + 5 * YEAR)
    assert (verified.signers[0].identity, verified.signers[0].issuer) == (SUBJECT, ISSUER)


def test_a_bundle_of_rekor_v2_is_verified_by_its_timestamp(
    instance: SigstoreInstance, signer: KeylessAuthority, tmp_path: Path
) -> None:
    signed = instance.sign_v2(model_statement(), x509.RFC822Name(SUBJECT), ISSUER, tmp_path)
    assert accepted(signed, signer)
    without = TrustRoot(instance.trusted_root(timestamps=False))
    stranger = keyless_authority(without, ISSUER, subject=SUBJECT)
    assert refusal(signed, stranger) is R.NOT_LOGGED
    signed["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] = []
    assert refusal(signed, signer) is not None


def test_a_timestamp_over_another_signature_is_refused(
    instance: SigstoreInstance, signer: KeylessAuthority, tmp_path: Path
) -> None:
    signed = instance.sign_v2(model_statement(), x509.RFC822Name(SUBJECT), ISSUER, tmp_path)
    token = instance.timestamp(b"something else", tmp_path)
    data = {"rfc3161Timestamps": [{"signedTimestamp": b64(token)}]}
    signed["verificationMaterial"]["timestampVerificationData"] = data
    assert refusal(signed, signer) is R.NOT_LOGGED


@pytest.mark.parametrize(
    ("issuer", "subject"),
    [
        (ISSUER, "release@acme.example.evil"),
        (ISSUER, "Release@acme.example"),
        (ISSUER + "/", SUBJECT),
        ("https://accounts.example.org", SUBJECT),
    ],
)
def test_issuer_and_subject_are_compared_exactly(
    bundle: Json, trust_root: TrustRoot, issuer: str, subject: str
) -> None:
    authority = keyless_authority(trust_root, issuer, subject=subject)
    assert refusal(bundle, authority) is R.WRONG_IDENTITY


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        (r"^[a-z]+@acme\.example$", True),
        (r"^.*$", True),
        (r"^release$", False),
        (r"^release@acme\.exampl$", False),
        (r"^elease@acme\.example$", False),
        (r"^x$|^elease.*$", False),
        (r"^a|release@acme.example.evil$", False),
        (r"^r|zzz$", False),
        (r"^zzz|example$", False),
        (r"^(?m:release$)$", False),
    ],
)
def test_a_pattern_is_matched_in_full(
    bundle: Json, trust_root: TrustRoot, pattern: str, matches: bool
) -> None:
    authority = keyless_authority(trust_root, ISSUER, pattern=pattern)
    if matches:
        assert accepted(bundle, authority)
    else:
        assert refusal(bundle, authority) is R.WRONG_IDENTITY


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "release",
        "^release",
        "release$",
        "^(release$",
        "^a$)|(?:b$",
        "^(?=a)a$",
        "^" + "a" * 512,
    ],
)
def test_a_pattern_that_is_not_anchored_or_not_well_formed_makes_no_authority(
    trust_root: TrustRoot, pattern: str
) -> None:
    with pytest.raises(AuthorityError):
        keyless_authority(trust_root, ISSUER, pattern=pattern)


def test_a_pattern_made_to_be_slow_is_not(bundle: Json, trust_root: TrustRoot) -> None:
    authority = keyless_authority(trust_root, ISSUER, pattern=r"^(?:([a-z@.]+)+)+!$")
    assert refusal(bundle, authority) is R.WRONG_IDENTITY


def test_authorities_are_shared_by_threads(bundle: Json, trust_root: TrustRoot) -> None:
    authority = keyless_authority(trust_root, ISSUER, pattern=r"^.*@acme\.example$")
    with ThreadPoolExecutor(4) as pool:
        outcomes = pool.map(lambda _: accepted(bundle, authority), range(40))
        assert list(outcomes) == [True] * 40


def test_a_pattern_does_not_match_across_a_line_end(trust_root: TrustRoot) -> None:
    authority = keyless_authority(trust_root, ISSUER, pattern="^a@b$")
    assert authority.matches("a@b")
    for subject in ("a@b\n", "x\na@b", "a@b\nx", ""):
        assert not authority.matches(subject)


@pytest.mark.parametrize(
    ("issuer", "subject", "pattern"),
    [("", SUBJECT, None), (ISSUER, None, None), (ISSUER, "", None), (ISSUER, SUBJECT, "^a$")],
)
def test_issuer_and_one_of_subject_and_pattern_are_required(
    trust_root: TrustRoot, issuer: str, subject: str | None, pattern: str | None
) -> None:
    with pytest.raises(AuthorityError):
        keyless_authority(trust_root, issuer, subject=subject, pattern=pattern)


@pytest.mark.parametrize(
    "name",
    [
        x509.UniformResourceIdentifier("https://github.com/acme/m/.github/workflows/r.yml@r"),
        x509.DNSName("build.acme.example"),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7"), b"\x0c\x03bob"),
    ],
)
def test_the_subject_may_be_an_address_a_host_or_a_username(
    instance: SigstoreInstance, trust_root: TrustRoot, name: x509.GeneralName
) -> None:
    text = "bob" if isinstance(name, x509.OtherName) else str(name.value)
    signed = instance.sign(model_statement(), name, ISSUER, AT)
    assert accepted(signed, keyless_authority(trust_root, ISSUER, subject=text))


def _entry(bundle: Json) -> Json:
    entry: Json = bundle["verificationMaterial"]["tlogEntries"][0]
    return entry


def _no_entry(bundle: Json) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = []


def _later(bundle: Json) -> None:
    _entry(bundle)["integratedTime"] = str(int(_entry(bundle)["integratedTime"]) + 3600)


def _no_promise(bundle: Json) -> None:
    del _entry(bundle)["inclusionPromise"]


def _other_root(bundle: Json) -> None:
    _entry(bundle)["inclusionProof"]["rootHash"] = b64(b"\0" * 32)


def _no_proof(bundle: Json) -> None:
    del _entry(bundle)["inclusionProof"]


def _two_entries(bundle: Json) -> None:
    bundle["verificationMaterial"]["tlogEntries"].append(_entry(bundle))


@pytest.mark.parametrize(
    "change", [_no_entry, _later, _no_promise, _other_root, _no_proof, _two_entries]
)
def test_a_log_entry_that_is_missing_or_changed_is_refused(
    bundle: Json, signer: KeylessAuthority, change: Callable[[Json], None]
) -> None:
    change(bundle)
    assert refusal(bundle, signer) in {R.NOT_LOGGED, R.UNTRUSTED_ROOT}


@pytest.mark.parametrize("time", ["99999999999999999", "9223372036854775807"])
def test_a_value_that_the_library_stumbles_over_is_malformed(
    bundle: Json, signer: KeylessAuthority, time: str
) -> None:
    _entry(bundle)["integratedTime"] = time
    assert refusal(bundle, signer) is R.MALFORMED


def test_the_entry_of_another_signature_is_refused(
    instance: SigstoreInstance, bundle: Json, signer: KeylessAuthority
) -> None:
    other = instance.sign(model_statement(), x509.RFC822Name(SUBJECT), ISSUER, AT)
    bundle["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
    assert refusal(bundle, signer) is R.NOT_LOGGED


def test_a_certificate_without_a_timestamp_of_the_instances_log_is_refused(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    name = x509.RFC822Name(SUBJECT)
    other = ec.generate_private_key(ec.SECP256R1())
    party = instance.certificate(name, ISSUER, AT, ct_key=other)
    signed = instance.sign(model_statement(), name, ISSUER, AT, party)
    assert refusal(signed, signer) is R.NOT_LOGGED


def test_a_certificate_that_is_not_for_code_signing_is_refused(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    name = x509.RFC822Name(SUBJECT)
    party = instance.certificate(name, ISSUER, AT, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
    signed = instance.sign(model_statement(), name, ISSUER, AT, party)
    assert refusal(signed, signer) is R.NOT_LOGGED


def test_a_certificate_that_names_several_or_is_of_two_issuers_is_refused(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    name, other = x509.RFC822Name(SUBJECT), x509.RFC822Name("other@acme.example")
    several = instance.certificate([name, other], ISSUER, AT)
    nobody = instance.certificate(x509.IPAddress(ip_address("127.0.0.1")), ISSUER, AT)
    torn = instance.certificate(name, ISSUER, AT, second_issuer="https://other.example")
    for party in (several, nobody, torn):
        signed = instance.sign(model_statement(), name, ISSUER, AT, party)
        assert refusal(signed, signer) is R.MALFORMED


def test_a_signature_made_after_the_certificate_expired_is_refused(
    instance: SigstoreInstance, signer: KeylessAuthority
) -> None:
    name = x509.RFC822Name(SUBJECT)
    party = instance.certificate(name, ISSUER, AT)
    signed = instance.sign(model_statement(), name, ISSUER, AT.replace(day=2), party)
    assert refusal(signed, signer) is R.UNTRUSTED_ROOT


def test_another_instance_is_not_trusted(signer: KeylessAuthority) -> None:
    other = SigstoreInstance().sign(model_statement(), x509.RFC822Name(SUBJECT), ISSUER, AT)
    assert refusal(other, signer) is R.UNTRUSTED_ROOT


def test_a_changed_statement_or_signature_is_a_bad_signature(
    instance: SigstoreInstance, bundle: Json, signer: KeylessAuthority
) -> None:
    other = instance.sign(
        model_statement(allow_symlinks=True), x509.RFC822Name(SUBJECT), ISSUER, AT
    )
    bundle["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"]
    assert refusal(bundle, signer) is R.BAD_SIGNATURE


def test_a_valid_signature_copied_to_another_model_is_refused(
    bundle: Json, signer: KeylessAuthority
) -> None:
    assert refusal(bundle, signer, files_of({"model.safetensors": b"other"})) is R.MISMATCH


@pytest.mark.parametrize(
    "document", [b"", b"{}", b"junk", b'{"mediaType": "x"}', b"[" * 10_000, b" " * 2_000_000]
)
def test_what_is_not_a_trusted_root_makes_none(document: bytes) -> None:
    with pytest.raises(AuthorityError):
        TrustRoot(document)


def test_the_public_good_trust_root_comes_with_us() -> None:
    authority = keyless_authority(public_good_trust_root(), ISSUER, subject=SUBJECT)
    assert authority.matches(SUBJECT)


def test_a_trust_root_serves_one_authority_as_it_serves_another(
    bundle: Json, trust_root: TrustRoot, signer: KeylessAuthority
) -> None:
    """Nothing that a verification does is kept for the next one."""
    stranger = keyless_authority(trust_root, "https://other.example", subject=SUBJECT)
    for _ in range(3):
        assert refusal(bundle, stranger) is R.WRONG_IDENTITY
        assert accepted(bundle, signer)
