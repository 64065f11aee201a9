"""What is in the files that signatures and attestations of a model are kept in, unverified.

An in-toto bundle holds one attestation a line: a DSSE envelope or a Sigstore bundle
(https://github.com/in-toto/attestation/blob/main/spec/v1/bundle.md). Lines that are neither are
ignored, as the specification wants it.
"""

from weighmaster.core.evidence import SignatureBundle, SignatureKind

LINES = ".intoto.jsonl"

_BUNDLE = b"vnd.dev.sigstore.bundle"
_ENVELOPE = b'"payloadType"'
_HEAD = 64 * 1024


def material_in(name: str, content: bytes) -> list[SignatureBundle]:
    """The material in a file, by its name relative to the model's root."""
    if not name.lower().endswith(LINES):
        return [SignatureBundle(kind=_kind_of(name, content), content=content, source=name)]
    found = []
    for line in content.splitlines():
        if _is_object(line) and _BUNDLE in line[:_HEAD]:
            kind = SignatureKind.BUNDLE
        elif _is_object(line) and _ENVELOPE in line:
            kind = SignatureKind.COSIGN_ATTESTATION
        else:
            continue
        found.append(SignatureBundle(kind=kind, content=line, source=name))
    return found


def _kind_of(name: str, content: bytes) -> SignatureKind:
    """A Sigstore bundle is a JSON object with a media type; anything else is some signature."""
    looks = _is_object(content) and _BUNDLE in content[:_HEAD]
    named = name.lower().endswith((".sigstore", ".sigstore.json")) or name == "model.sig"
    return SignatureKind.BUNDLE if looks or named else SignatureKind.DETACHED


def _is_object(content: bytes) -> bool:
    return content.lstrip()[:1] == b"{"
