"""What a verifying container is told, and what it tells: the two texts that pass through a pod.

An *expectation* says what the bytes at one place must be. It travels by value, in one variable of
the container, so that what is checked is what admission has decided on, whatever lies on the volume
or changes in the cluster. The *verdict* comes back through the container's termination message,
which the kubelet keeps in the pod's status.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from weighmaster.api.v1alpha1.content import Coverage

CONTAINER = "weighmaster-verify"
"""Name of the verifying container."""

COMMAND = ("weighmaster", "verify-mounted")
VARIABLE = "WEIGHMASTER_EXPECTATIONS"
"""The environment variable that holds the expectations."""

MOUNTS = "/weights"
"""Folder of the container under which the volumes are, each by a number."""

TERMINATION_LOG = "/dev/termination-log"

MAX_EXPECTATIONS = 16
"""Places in one pod."""

MAX_EXPECTATIONS_BYTES = 96 * 1024
"""Linux takes no variable of 128 KiB (MAX_ARG_STRLEN)."""

MAX_VERDICT_BYTES = 4096
"""The kubelet cuts a termination message there, and half a document is none."""

_Text = Annotated[str, Meta(max_length=4096)]


class _Wire(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of what travels; unknown fields are refused, since one may be a restriction."""


class Signer(_Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may sign, with the key material itself; exactly one of its three forms.

    By key: ``key`` in PEM. By certificate: ``roots`` in PEM and ``subject``. Keyless: ``issuer``
    and ``subject`` or ``pattern``, with ``trust_root`` (JSON) where it is not the public good
    instance.
    """

    key: str = ""
    roots: str = ""
    subject: str = ""
    code_signing: bool = True
    issuer: str = ""
    pattern: str = ""
    trust_root: str = ""


_Signers = Annotated[tuple[Signer, ...], Meta(min_length=1, max_length=64)]


class Signatures(_Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who must have signed what is there: ``threshold`` of ``authorities``.

    An authority is any of some signers, such as those of a publisher, and counts once.
    """

    authorities: Annotated[tuple[_Signers, ...], Meta(min_length=1, max_length=16)]
    threshold: Annotated[int, Meta(ge=1, le=16)] = 1
    coverage: Coverage = Coverage.ALL


class Expectation(_Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must lie at one place.

    ``path`` is the model's folder below the mount ``mount``; ``file`` limits it to one file of the
    folder and its further parts. ``hidden`` are paths below the mount where the server has another
    mount, and sees something else. ``reference`` is what it must be and ``store`` where it lies, if
    that outlives the pod; both are canonical references, for people and for evidence.

    ``digest`` is that of all files that may be loaded (``core.verify.loadable``), ``fingerprints``
    tells them apart. ``signatures`` are lists of signers that must all be satisfied by bundles
    beside the weights.
    """

    reference: Annotated[str, Meta(max_length=2048)]
    mount: Annotated[str, Meta(pattern=r"\A[0-9]{1,2}\Z")]
    path: _Text = ""
    file: _Text = ""
    hidden: Annotated[tuple[_Text, ...], Meta(max_length=64)] = ()
    store: Annotated[str, Meta(max_length=2048)] = ""
    digest: Annotated[str, Meta(pattern=r"\A(sha256:[0-9a-f]{64})?\Z")] = ""
    fingerprints: Annotated[str, Meta(max_length=16 * 1024)] = ""
    signatures: Annotated[tuple[Signatures, ...], Meta(max_length=16)] = ()


Expectations = Annotated[tuple[Expectation, ...], Meta(min_length=1, max_length=MAX_EXPECTATIONS)]

_expectations = msgspec.json.Decoder(Expectations)
_encoder = msgspec.json.Encoder(order="deterministic")


def encode_expectations(expectations: tuple[Expectation, ...]) -> str:
    """The text of expectations; the same for the same expectations."""
    return _encoder.encode(expectations).decode()


def decode_expectations(text: str) -> tuple[Expectation, ...]:
    """Expectations from their text; raises ValueError (msgspec's are) when they cannot be used."""
    if len(text) > MAX_EXPECTATIONS_BYTES:
        raise ValueError("the expectations are too long")
    try:
        return _expectations.decode(text)
    except RecursionError:
        raise ValueError("the expectations are nested too deeply") from None


class Result(StrEnum):
    """How a verification came out. ``failed``: it could not be made, which says nothing."""

    VERIFIED = "verified"
    REFUSED = "refused"
    FAILED = "failed"


class Proof(_Wire, frozen=True, kw_only=True):
    """One signature that holds.

    ``by`` are the numbers of the signers that it is of, counted through all authorities. Whose it
    is, is empty where that is too long to be told.
    """

    by: tuple[int, ...]
    identity: _Text = ""
    issuer: _Text = ""


class Weighed(_Wire, frozen=True, kw_only=True):
    """One place that was found as expected: bytes and files read, time taken in seconds.

    ``digest`` is that of all files that may be loaded, ``signed_by`` who signed them. ``proofs``
    has for each of the expectation's ``signatures`` all that were found; none where there was no
    room to tell.
    """

    reference: _Text
    store: _Text = ""
    digest: _Text = ""
    signed_by: Annotated[tuple[_Text, ...], Meta(max_length=16)] = ()
    proofs: tuple[tuple[Proof, ...], ...] = ()
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Verdict(_Wire, frozen=True, kw_only=True):
    """What a verifying container says in the end.

    ``verified`` are the places that were as expected. The rest is about the first that was not:
    ``reason`` is a VerificationReason, ``message`` is for a person, ``files`` are names.
    """

    result: Result
    seconds: float = 0.0
    verified: Annotated[tuple[Weighed, ...], Meta(max_length=MAX_EXPECTATIONS)] = ()
    reason: Annotated[str, Meta(max_length=64)] = ""
    message: _Text = ""
    reference: _Text = ""
    store: _Text = ""
    files: Annotated[tuple[_Text, ...], Meta(max_length=8)] = ()


_verdict = msgspec.json.Decoder(Verdict)

_SIZES = ((1024, 16), (512, 16), (256, 8), (128, 4), (64, 1), (16, 0))
"""Characters of a text and places told, from what is wanted to what always fits."""


def encode_verdict(verdict: Verdict) -> bytes:
    """The text of a verdict: always a whole document of at most MAX_VERDICT_BYTES."""
    encoded = b""
    for characters, places in _SIZES:
        encoded = _encoder.encode(_cut(verdict, characters, places))
        if len(encoded) <= MAX_VERDICT_BYTES:
            break
    return encoded


def decode_verdict(text: str) -> Verdict | None:
    """A verdict from a termination message; None for anything else."""
    if len(text) > MAX_VERDICT_BYTES:
        return None
    try:
        return _verdict.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def _cut(verdict: Verdict, characters: int, places: int) -> Verdict:
    return structs.replace(
        verdict,
        reason=verdict.reason[:64],
        message=_clip(verdict.message, characters),
        reference=_clip(verdict.reference, characters),
        store=_clip(verdict.store, characters),
        files=tuple(_clip(name, characters) for name in verdict.files[: min(8, places)]),
        verified=tuple(
            structs.replace(
                each,
                reference=_clip(each.reference, characters),
                store=_clip(each.store, characters),
                signed_by=tuple(_clip(signer, characters) for signer in each.signed_by[:2]),
                proofs=_told(each.proofs, characters),
            )
            for each in verdict.verified[:places]
        ),
    )


def _told(proofs: tuple[tuple[Proof, ...], ...], characters: int) -> tuple[tuple[Proof, ...], ...]:
    """All proofs or, where room is short, none: a part of them would read as signatures missing."""
    if characters < _ROOM_FOR_PROOFS:
        return ()
    return tuple(
        tuple(
            proof
            if all(_clip(told, characters) == told for told in (proof.identity, proof.issuer))
            else Proof(by=proof.by)
            for proof in each
        )
        for each in proofs
    )


_ROOM_FOR_PROOFS = 128


def _clip(text: str, length: int) -> str:
    """Whole characters; half a surrogate pair, which no JSON holds, is replaced."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= length else f"{text[: length - 3]}..."
