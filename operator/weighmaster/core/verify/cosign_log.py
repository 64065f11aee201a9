"""Keyless signatures of cosign's older form: a promise of Rekor v1, without an inclusion proof.

``sigstore`` cannot express them ("entry must contain inclusion proof"), so what it does with a
bundle is done here with what the annotations have: the promise (signed entry timestamp, SET)
verifies with a log key of the trust root, the entry is of exactly this payload, signature and
certificate, the certificate was valid at the time the log vouches for and is in a certificate log.
A log that is trusted to promise and does not keep it goes unnoticed, as with cosign itself.
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md,
https://github.com/sigstore/rekor/blob/main/types.md.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509
from msgspec import Struct

from weighmaster.core.verify.authorities import KeylessAuthority, is_signing_key
from weighmaster.core.verify.chains import Demand, find_path
from weighmaster.core.verify.cosign_legacy import (
    SimpleSignature,
    check_signature,
    read_certificates,
    signing_key,
)
from weighmaster.core.verify.identities import issuer_of, subject_of
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signing_keys import is_signed_by
from weighmaster.core.verify.strict_json import (
    bytes_at,
    list_at,
    malformed,
    object_at,
    only_keys,
    parse_object,
    text_at,
)
from weighmaster.core.verify.transparency import LogKey, check_logged
from weighmaster.core.verify.trust_root import TrustRoot
from weighmaster.core.verify.wording import shown
from weighmaster.errors import VerificationError

MAX_LOG_BYTES = 128 * 1024
_MAX_PARTS = 64
_MAX_INTEGER = 1 << 53
"""Canonical JSON (RFC 8785) writes larger integers differently."""

_MAX_TIME = 1 << 40


class _Promise(Struct, frozen=True):
    """What the log promises, and its signature over that.

    ``log`` is the digest of the log's key, ``signed`` the canonical JSON that was signed.
    """

    body: bytes
    log: bytes
    at: datetime
    signed: bytes
    signature: bytes


def verify_logged(signed: SimpleSignature, authority: KeylessAuthority) -> tuple[str, str]:
    """The subject and the issuer that signed the payload, which are the authority's.

    Raises VerificationError: BadSignature, NotLogged, UntrustedRoot, Expired, NotYetValid,
    UnsuitableCertificate, Malformed, Unsupported, WrongMethod, WrongIdentity.
    """
    leaf, key = signing_key(signed)
    check_signature(signed, key)
    if signed.log is None:
        raise _not_logged("the signature has no transparency log entry beside it")
    promise = _read(signed.log)
    root = authority.trust_root
    _check_promise(promise, root.logs)
    _check_entry(promise.body, signed, leaf)
    _check_certificate(leaf, promise.at, root)
    subject, issuer = subject_of(leaf), issuer_of(leaf)
    if issuer != authority.issuer or not authority.matches(subject):
        raise VerificationError(
            VerificationReason.WRONG_IDENTITY,
            f"the artifact was signed by {shown(subject)}, issuer {shown(issuer)}, not by"
            f" {shown(authority.wanted)}, issuer {shown(authority.issuer)}",
        )
    return subject, issuer


def _read(text: str) -> _Promise:
    what = "the log entry"
    document = parse_object(text.encode(), what, MAX_LOG_BYTES, _MAX_PARTS)
    only_keys(document, frozenset({"SignedEntryTimestamp", "Payload"}), what)
    payload = object_at(document, "Payload", what)
    only_keys(payload, frozenset({"body", "integratedTime", "logIndex", "logID"}), what)
    body = bytes_at(payload, "body", what)
    log = text_at(payload, "logID", what)
    if len(log) != 64 or log.strip("0123456789abcdef"):
        raise malformed(f"{what} does not name a log")
    seconds = _integer(payload, "integratedTime")
    if not 0 < seconds < _MAX_TIME:
        raise malformed(f"{what} has no time")
    entry = {
        "body": base64.b64encode(body).decode(),
        "integratedTime": seconds,
        "logID": log,
        "logIndex": _integer(payload, "logIndex"),
    }
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    at = datetime.fromtimestamp(seconds, UTC)
    promise = bytes_at(document, "SignedEntryTimestamp", what)
    return _Promise(body, bytes.fromhex(log), at, canonical, promise)


def _integer(payload: dict[str, object], key: str) -> int:
    value = payload.get(key)
    # A bool is an int in Python, and would be signed as another text.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_INTEGER:
        raise malformed(f"the log entry's {key} is not an integer")
    return value


def _check_promise(promise: _Promise, logs: Iterable[LogKey]) -> None:
    """Raise VerificationError (NotLogged) unless a log of the trust root made the promise.

    At a time at which its key was in use, which ``sigstore`` leaves out.
    """
    problem = "the transparency log is none of the trust root"
    for log in logs:
        if not is_signing_key(log.key) or log.id != promise.log:
            continue
        if not log.in_use.contains(promise.at):
            problem = "the log's key was not in use when it says that it was signed"
        elif is_signed_by(log.key, promise.signature, promise.signed):
            return
        else:
            problem = "the transparency log's promise does not verify: it was changed"
    raise _not_logged(problem)


def _check_entry(body: bytes, signed: SimpleSignature, leaf: x509.Certificate) -> None:
    """Raise VerificationError unless the entry is of this payload, signature and certificate.

    Any member that is another, or that is not known, makes it an entry of something else
    (CVE-2022-36056, CVE-2026-22703).
    """
    what = "the log entry"
    entry = parse_object(body, what, MAX_LOG_BYTES, _MAX_PARTS)
    kind = "dsse" if signed.enveloped else "hashedrekord"
    if (entry.get("kind"), entry.get("apiVersion")) != (kind, "0.0.1"):
        raise VerificationError(VerificationReason.UNSUPPORTED, f"the log entry is no {kind} 0.0.1")
    spec = object_at(entry, "spec", what)
    make = _envelope_entry if signed.enveloped else _signature_entry
    expected, certificate = make(spec, signed)
    if entry != {"apiVersion": "0.0.1", "kind": kind, "spec": expected}:
        raise _not_logged("the transparency log entry is of another signature")
    try:
        pem = certificate.decode("ascii")
    except ValueError:
        raise malformed("the certificate in the log entry is not PEM") from None
    # GHSA-fx35-mq7g-6g98: an entry made with another key is not of this signature.
    if read_certificates(pem) != (leaf,):
        raise _not_logged("the transparency log entry is of another certificate")


Spec = dict[str, object]


def _signature_entry(spec: Spec, signed: SimpleSignature) -> tuple[Spec, bytes]:
    """What the entry of a payload must say, and the certificate that it has."""
    what = "the log entry"
    public = object_at(object_at(spec, "signature", what), "publicKey", what)
    expected: Spec = {
        "data": {"hash": _sha256(signed.payload)},
        "signature": {
            "content": base64.b64encode(signed.signature).decode(),
            "publicKey": {"content": text_at(public, "content", what)},
        },
    }
    return expected, bytes_at(public, "content", what)


def _envelope_entry(spec: Spec, signed: SimpleSignature) -> tuple[Spec, bytes]:
    """The same of a DSSE envelope.

    The hash of the envelope's text says nothing that the others do not, and depends on how it was
    written, so any will do.
    """
    what = "the log entry"
    signatures = list_at(spec, "signatures", what)
    only = signatures[0] if len(signatures) == 1 else None
    if not isinstance(only, dict):
        raise malformed(f"{what} must be of one signature")
    envelope = object_at(spec, "envelopeHash", what)
    signature = base64.b64encode(signed.signature).decode()
    expected: Spec = {
        "envelopeHash": {"algorithm": "sha256", "value": text_at(envelope, "value", what)},
        "payloadHash": _sha256(signed.payload),
        "signatures": [{"signature": signature, "verifier": text_at(only, "verifier", what)}],
    }
    return expected, bytes_at(only, "verifier", what)


def _sha256(content: bytes) -> Spec:
    return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}


def _check_certificate(leaf: x509.Certificate, at: datetime, root: TrustRoot) -> None:
    """Raise VerificationError unless Fulcio issued it, it was valid then, and it was logged."""
    roots = tuple(
        certificate
        for issuers in root.issuers
        if issuers.in_use.contains(at)
        for certificate in issuers.certificates
    )
    path = find_path(leaf, (), Demand(roots, at, code_signing=True))
    if len(path) < 2:
        raise malformed("the signing certificate is one of the trust root's own")
    check_logged(leaf, path[1], root.certificate_logs)


def _not_logged(message: str) -> VerificationError:
    return VerificationError(VerificationReason.NOT_LOGGED, message)
