"""The certificate method: chains up to given roots, for a given identity, at a given time."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.signing.bundles import Json, b64, certificate_bundle, model_statement
from tests.signing.chains import NOW, YEAR, Chain, Party, Request, name, usage
from tests.signing.models import accepted, refusal, verify
from weighmaster.core.verify.authorities import CertificateAuthority, certificate_authority
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.errors import AuthorityError

IDENTITY = "https://acme.example/signer"


@pytest.fixture
def chain() -> Chain:
    return Chain(IDENTITY)


def trusting(chain: Chain, subject: str = IDENTITY, **options: bool) -> CertificateAuthority:
    return certificate_authority(chain.root.pem, subject, **options)


def signed(leaf: Party, *others: Party) -> Json:
    certificates = [leaf.certificate, *(other.certificate for other in others)]
    return certificate_bundle(model_statement(), leaf.key, certificates)


def test_a_chain_to_a_given_root_for_the_identity_is_verified(chain: Chain) -> None:
    verified = verify(signed(chain.leaf(), chain.intermediate), trusting(chain))
    assert verified.signers[0].identity == IDENTITY
    assert verified.signers[0].issuer.startswith("CN=Root")


def test_the_root_may_be_in_the_bundle_but_is_not_trusted_for_that(chain: Chain) -> None:
    bundle = signed(chain.leaf(), chain.intermediate, chain.root)
    assert accepted(bundle, trusting(chain))
    assert refusal(bundle, trusting(Chain())) is R.UNTRUSTED_ROOT


def test_a_missing_intermediate_or_another_root_of_the_same_name_is_untrusted(
    chain: Chain,
) -> None:
    assert refusal(signed(chain.leaf()), trusting(chain)) is R.UNTRUSTED_ROOT
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(Chain())) is R.UNTRUSTED_ROOT


def test_an_intermediate_may_be_given_as_the_root(chain: Chain) -> None:
    authority = certificate_authority(chain.intermediate.pem, IDENTITY)
    assert accepted(signed(chain.leaf()), authority)


def test_a_self_signed_leaf_is_verified_when_it_is_itself_the_given_root(chain: Chain) -> None:
    leaf = chain.leaf_request.issue()
    assert accepted(signed(leaf), certificate_authority(leaf.pem, IDENTITY))
    assert refusal(signed(leaf), trusting(chain)) is R.UNTRUSTED_ROOT


@pytest.mark.parametrize(
    ("identity", "names"),
    [
        ("a@b.example", [x509.RFC822Name("a@b.example")]),
        ("b.example", [x509.DNSName("b.example"), x509.DNSName("c.example")]),
        ("spiffe://x/y", [x509.DNSName("z"), x509.UniformResourceIdentifier("spiffe://x/y")]),
    ],
)
def test_the_identity_is_one_of_the_leafs_alternative_names(
    chain: Chain, identity: str, names: list[x509.GeneralName]
) -> None:
    chain.leaf_request["names"] = x509.SubjectAlternativeName(names)
    bundle = signed(chain.leaf(), chain.intermediate)
    assert accepted(bundle, trusting(chain, identity))
    for other in (identity.upper(), identity + ".", identity[:-1], "*", "", "CN=Signer"):
        if other.strip():
            assert refusal(bundle, trusting(chain, other)) is R.WRONG_IDENTITY


def test_without_alternative_names_the_identity_is_the_whole_subject(chain: Chain) -> None:
    chain.leaf_request["names"] = None
    bundle = signed(chain.leaf(), chain.intermediate)
    assert accepted(bundle, trusting(chain, "CN=Signer,O=Acme\\, Models,C=XX"))
    for part in ("Signer", "CN=Signer", "CN=Signer,O=Acme\\, Models"):
        assert refusal(bundle, trusting(chain, part)) is R.WRONG_IDENTITY


def test_with_alternative_names_the_subject_counts_for_nothing(chain: Chain) -> None:
    bundle = signed(chain.leaf(), chain.intermediate)
    subject = "CN=Signer,O=Acme\\, Models,C=XX"
    assert refusal(bundle, trusting(chain, subject)) is R.WRONG_IDENTITY


def test_a_leaf_that_names_nobody_is_nobodys(chain: Chain) -> None:
    chain.leaf_request.subject = x509.Name([])
    chain.leaf_request["names"] = x509.SubjectAlternativeName(
        [x509.DirectoryName(name("Somebody"))]
    )
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.WRONG_IDENTITY


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (NOW + YEAR + timedelta(seconds=1), R.EXPIRED),
        (NOW - YEAR - timedelta(seconds=1), R.NOT_YET_VALID),
    ],
)
def test_the_leaf_must_be_valid_at_the_time(chain: Chain, at: datetime, reason: R) -> None:
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain), now=at) is reason


def test_a_long_expired_leaf_for_tls_only_is_refused(chain: Chain) -> None:
    """The reference implementation accepts exactly this."""
    chain.leaf_request.since, chain.leaf_request.until = NOW - 6 * YEAR, NOW - 5 * YEAR
    chain.leaf_request["purpose"] = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.EXPIRED


def test_every_certificate_of_the_chain_must_be_valid_at_the_time(chain: Chain) -> None:
    request = Request("Intermediate", authority=True)
    request.until = NOW - timedelta(days=1)
    chain.intermediate = request.issue(chain.root)
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.EXPIRED


def test_an_expired_root_is_no_root(chain: Chain) -> None:
    request = Request("Root", authority=True)
    request.until = NOW - timedelta(days=1)
    chain.root = request.issue()
    chain.intermediate = Request("Intermediate", authority=True).issue(chain.root)
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.EXPIRED


@pytest.mark.parametrize(
    "purposes", [None, [ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.EMAIL_PROTECTION]]
)
def test_code_signing_is_demanded_unless_any_usage_will_do(
    chain: Chain, purposes: list[x509.ObjectIdentifier] | None
) -> None:
    chain.leaf_request["purpose"] = x509.ExtendedKeyUsage(purposes) if purposes else None
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.UNSUITABLE_CERTIFICATE
    assert accepted(bundle, trusting(chain, code_signing=False))


def test_the_leaf_must_be_for_digital_signatures_and_not_for_issuing(chain: Chain) -> None:
    for key_usage in (None, usage(), usage(issue=True), usage(sign=True, issue=True)):
        chain.leaf_request["usage"] = key_usage
        bundle = signed(chain.leaf(), chain.intermediate)
        assert refusal(bundle, trusting(chain)) is R.UNSUITABLE_CERTIFICATE


def _intermediate(change: Callable[[Request], None]) -> Callable[[Chain], None]:
    def make(chain: Chain) -> None:
        request = Request("Intermediate", authority=True)
        change(request)
        chain.intermediate = request.issue(chain.root)

    return make


def _set(what: str, value: x509.ExtensionType | None) -> Callable[[Request], None]:
    return lambda request: request.__setitem__(what, value)


@pytest.mark.parametrize(
    "change",
    [
        _set("constraints", x509.BasicConstraints(ca=False, path_length=None)),
        _set("constraints", None),
        _set("usage", usage(sign=True)),
        _set("purpose", x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
        _set("critical names", x509.NameConstraints([x509.DNSName("a.example")], None)),
        _set("names", x509.NameConstraints([x509.DNSName("a.example")], None)),
        _set(
            "critical unknown",
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
        ),
    ],
)
def test_an_issuer_that_may_not_issue_signing_certificates_is_refused(
    chain: Chain, change: Callable[[Request], None]
) -> None:
    _intermediate(change)(chain)
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.UNSUITABLE_CERTIFICATE


def test_a_leaf_cannot_issue_another_leaf(chain: Chain) -> None:
    first = chain.leaf()
    second = Chain(IDENTITY).leaf_request.issue(first)
    bundle = signed(second, first, chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.UNSUITABLE_CERTIFICATE


def test_path_length_limits_how_many_authorities_stand_below(chain: Chain) -> None:
    request = Request("Root", authority=True)
    request["constraints"] = x509.BasicConstraints(ca=True, path_length=0)
    chain.root = request.issue()
    chain.intermediate = Request("Intermediate", authority=True).issue(chain.root)
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.UNSUITABLE_CERTIFICATE
    assert accepted(signed(chain.leaf_request.issue(chain.root)), trusting(chain))


def test_a_path_longer_than_the_cap_is_not_found(chain: Chain) -> None:
    issuers = [chain.root]
    for index in range(8):
        issuers.append(Request(f"Intermediate {index}", authority=True).issue(issuers[-1]))
    leaf = chain.leaf_request.issue(issuers[-1])
    bundle = signed(leaf, *issuers[:0:-1])
    assert refusal(bundle, trusting(chain)) is R.UNTRUSTED_ROOT


def test_a_chain_with_countless_paths_is_given_up(chain: Chain) -> None:
    """Ten certificates that all issue each other have millions of paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    others = []
    for _ in range(9):
        request = Request("Intermediate", authority=True)
        request.key = key
        others.append(request.issue())
    leaf = chain.leaf_request.issue(others[0])
    assert refusal(signed(leaf, *others), trusting(chain)) is R.TOO_LARGE


def test_an_authority_of_the_same_name_but_another_key_is_passed_over(chain: Chain) -> None:
    impostor = Request("Intermediate", authority=True).issue()
    bundle = signed(chain.leaf(), impostor, chain.intermediate)
    assert accepted(bundle, trusting(chain))


def test_a_weak_key_on_the_way_is_refused(chain: Chain) -> None:
    request = Request("Intermediate", authority=True)
    request.key = rsa.generate_private_key(65537, 1024)  # type: ignore[assignment]
    chain.intermediate = request.issue(chain.root)
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.UNSUITABLE_CERTIFICATE


def with_leaf(bundle: Json, leaf: Party) -> Json:
    chain = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
    chain[0] = {"rawBytes": b64(leaf.certificate.public_bytes(Encoding.DER))}
    return bundle


def test_a_weak_hash_on_the_way_is_refused(chain: Chain) -> None:
    chain.leaf_request.hash = hashes.SHA224()
    bundle = signed(chain.leaf(), chain.intermediate)
    assert refusal(bundle, trusting(chain)) is R.UNSUITABLE_CERTIFICATE


def test_a_leaf_whose_key_is_not_of_the_specification_is_refused(chain: Chain) -> None:
    bundle = signed(chain.leaf(), chain.intermediate)
    chain.leaf_request.key = rsa.generate_private_key(65537, 2048)  # type: ignore[assignment]
    changed = with_leaf(bundle, chain.leaf())
    assert refusal(changed, trusting(chain)) is R.UNSUITABLE_CERTIFICATE


def test_another_certificate_for_the_same_signature_is_refused(chain: Chain) -> None:
    bundle = signed(chain.leaf(), chain.intermediate)
    chain.leaf_request.key = ec.generate_private_key(ec.SECP256R1())
    other = with_leaf(bundle, chain.leaf())
    assert refusal(other, trusting(chain)) is R.BAD_SIGNATURE


def test_a_chain_of_too_many_certificates_is_refused(chain: Chain) -> None:
    bundle = signed(chain.leaf(), *[chain.intermediate] * 10)
    assert refusal(bundle, trusting(chain)) is R.MALFORMED


@pytest.mark.parametrize("certificates", [[], ["x"], [{}]])
def test_a_chain_that_is_empty_too_long_or_of_other_things_is_refused(
    chain: Chain, certificates: list[object]
) -> None:
    bundle = signed(chain.leaf(), chain.intermediate)
    bundle["verificationMaterial"]["x509CertificateChain"]["certificates"] = certificates
    assert refusal(bundle, trusting(chain)) is R.MALFORMED


@pytest.mark.parametrize("der", ["AAAA", "MAA=", "MIIBAAAA"])
def test_a_certificate_that_is_none_is_refused(chain: Chain, der: str) -> None:
    for place in (0, 1):
        bundle = signed(chain.leaf(), chain.intermediate)
        certificates = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
        certificates[place] = {"rawBytes": der}
        assert refusal(bundle, trusting(chain)) is R.MALFORMED


@pytest.mark.parametrize("subject", ["", "  "])
def test_an_identity_is_required(chain: Chain, subject: str) -> None:
    with pytest.raises(AuthorityError):
        certificate_authority(chain.root.pem, subject)


@pytest.mark.parametrize("pem", ["", "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_roots_are_required(pem: str) -> None:
    with pytest.raises(AuthorityError):
        certificate_authority(pem, IDENTITY)
