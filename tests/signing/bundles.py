"""Bundles as signers write them, and as they should not."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

IN_TOTO = "application/vnd.in-toto+json"
HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
DEFAULT_IGNORES = ["model.sig", ".git", ".github", ".gitattributes", ".gitignore"]
MODEL: dict[str, bytes] = {
    "config.json": b'{"architectures": []}',
    "model.safetensors": b"\x08\0\0\0\0\0\0\0{}      weights",
    "tokenizer/vocab.txt": b"a\nb\n",
    "README.md": b"# A model\n",
}
"""A small model: name to content."""

Json = dict[str, Any]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def resource(name: str, content: bytes, algorithm: str = "sha256") -> Json:
    digest = hashlib.new(algorithm, content).hexdigest()
    return {"name": name, "algorithm": algorithm, "digest": digest}


def root_digest(resources: list[Json]) -> str:
    joined = b"".join(bytes.fromhex(each["digest"]) for each in resources)
    return hashlib.sha256(joined).hexdigest()


def statement(
    resources: list[Json],
    *,
    root: str | None = None,
    predicate_type: str = "https://model_signing/signature/v1.0",
    **serialization_fields: object,
) -> Json:
    """A statement over resources; keyword arguments go into ``serialization``."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": root or root_digest(resources)}}],
        "predicateType": predicate_type,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": DEFAULT_IGNORES,
                **serialization_fields,
            },
            "resources": resources,
        },
    }


def model_statement(model: Mapping[str, bytes] = MODEL, **fields: Any) -> Json:
    return statement([resource(name, model[name]) for name in sorted(model)], **fields)


def pae(payload: bytes, payload_type: str = IN_TOTO) -> bytes:
    return b"DSSEv1 %d %b %d %b" % (
        len(payload_type),
        payload_type.encode(),
        len(payload),
        payload,
    )


def payload_of(value: Json | bytes) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, indent=2).encode()


def envelope(
    value: Json | bytes,
    key: ec.EllipticCurvePrivateKey,
    algorithm: hashes.HashAlgorithm | None = None,
) -> Json:
    payload = payload_of(value)
    signature = key.sign(pae(payload), ec.ECDSA(algorithm or HASHES[key.curve.name]))
    return {
        "payload": b64(payload),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": b64(signature), "keyid": ""}],
    }


def bundle(dsse_envelope: Json, material: Json) -> Json:
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material,
        "dsseEnvelope": dsse_envelope,
    }


def public_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def key_bundle(value: Json | bytes, key: ec.EllipticCurvePrivateKey) -> Json:
    """As model-signing 1.1 writes it: the hint is the digest of the key's PEM text."""
    hint = hashlib.sha256(public_pem(key).encode()).hexdigest()
    return bundle(envelope(value, key), {"publicKey": {"hint": hint}, "tlogEntries": []})


def certificate_bundle(
    value: Json | bytes, key: ec.EllipticCurvePrivateKey, chain: list[x509.Certificate]
) -> Json:
    certificates = [
        {"rawBytes": b64(each.public_bytes(serialization.Encoding.DER))} for each in chain
    ]
    material = {"x509CertificateChain": {"certificates": certificates}, "tlogEntries": []}
    return bundle(envelope(value, key), material)


def raw(document: Json) -> bytes:
    return json.dumps(document).encode()
