"""Whether a certificate is in a certificate log, by the timestamp in it (RFC 6962)."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from sigstore.errors import VerificationError as SigstoreError
from sigstore_models.trustroot.v1 import TrustedRoot

from tests.signing.chains import Party
from tests.signing.sigstore_instance import SigstoreInstance
from weighmaster.core.verify.chains import load_certificate
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.core.verify.transparency import LogKey, Period, check_logged
from weighmaster.core.verify.trust_root import TrustRoot
from weighmaster.errors import VerificationError

NAME = x509.RFC822Name("release@acme.example")
AT = datetime(2026, 3, 1, tzinfo=UTC)
INSTANCE = SigstoreInstance()
ROOT = TrustRoot(INSTANCE.trusted_root())
(LOG,) = ROOT.certificate_logs
ISSUER = INSTANCE.fulcio.certificate


def issued(**changes: object) -> Party:
    return INSTANCE.certificate(NAME, "https://accounts.example.com", AT, **changes)  # type: ignore[arg-type]


LEAF = issued().certificate


def refusal(
    leaf: x509.Certificate, issuer: x509.Certificate = ISSUER, logs: tuple[LogKey, ...] = (LOG,)
) -> R:
    with pytest.raises(VerificationError) as raised:
        check_logged(leaf, issuer, logs)
    return R(raised.value.reason)


def test_logged_certificate_is_accepted() -> None:
    check_logged(LEAF, ISSUER, (LOG,))


def test_log_is_found_among_others() -> None:
    others = tuple(LogKey(ec.generate_private_key(ec.SECP256R1()).public_key()) for _ in range(3))
    check_logged(LEAF, ISSUER, (*others, LOG))
    assert refusal(LEAF, logs=others) is R.NOT_LOGGED
    assert refusal(LEAF, logs=()) is R.NOT_LOGGED


def test_timestamp_of_another_log_is_refused() -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert refusal(issued(ct_key=stranger).certificate) is R.NOT_LOGGED


def test_timestamp_in_the_name_of_a_trusted_log_is_refused() -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    leaf = issued(ct_key=stranger).certificate
    der = leaf.public_bytes(serialization.Encoding.DER)
    posing = der.replace(LogKey(stranger.public_key()).id, LOG.id)
    assert posing != der
    assert refusal(x509.load_der_x509_certificate(posing)) is R.NOT_LOGGED


def test_timestamp_binds_the_issuer_by_its_key() -> None:
    assert refusal(LEAF, INSTANCE.root.certificate) is R.NOT_LOGGED


def test_certificate_without_a_timestamp_is_not_logged() -> None:
    assert refusal(ISSUER, INSTANCE.root.certificate) is R.NOT_LOGGED


@pytest.mark.parametrize(
    ("start", "end", "accepted"),
    [(0, 0, True), (-1, 1, True), (1, 2, False), (-2, -1, False)],
)
def test_log_key_counts_only_while_it_was_in_use(start: int, end: int, accepted: bool) -> None:
    period = Period(AT + timedelta(seconds=start), AT + timedelta(seconds=end))
    log = structs.replace(LOG, in_use=period)
    if accepted:
        check_logged(LEAF, ISSUER, (log,))
    else:
        assert refusal(LEAF, logs=(log,)) is R.NOT_LOGGED


DER = LEAF.public_bytes(serialization.Encoding.DER)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(DER) - 1), st.integers(1, 255))
def test_no_change_of_what_the_log_signed_is_accepted(at: int, by: int) -> None:
    changed = bytearray(DER)
    changed[at] ^= by
    try:
        leaf = load_certificate(bytes(changed))
        check_logged(leaf, ISSUER, (LOG,))
    except VerificationError:
        return
    # The issuer's own signature is not part of it, and is checked with the chain.
    assert leaf.tbs_precertificate_bytes == LEAF.tbs_precertificate_bytes


def test_sigstore_accepts_and_refuses_the_same() -> None:
    """Its own function is private; should it move, there is nothing to compare with."""
    sct = pytest.importorskip("sigstore._internal.sct")
    trust = pytest.importorskip("sigstore._internal.trust")
    document = TrustedRoot.from_json(INSTANCE.trusted_root())
    keyring = trust.Keyring([log.public_key for log in document.ctlogs])
    sct.verify_sct(LEAF, [ISSUER], keyring)
    for leaf, issuer in (
        (LEAF, INSTANCE.root.certificate),
        (issued(ct_key=ec.generate_private_key(ec.SECP256R1())).certificate, ISSUER),
    ):
        with pytest.raises(SigstoreError):
            sct.verify_sct(leaf, [issuer], keyring)
        assert refusal(leaf, issuer) is R.NOT_LOGGED
