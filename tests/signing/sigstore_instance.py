"""A Sigstore instance in memory: Fulcio, certificate log, Rekor v1 and v2, timestamp authority.

It mints what the public good instance would, so that keyless verification is tested offline.
"""

import base64
import hashlib
import json
import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.signing.bundles import Json, b64, bundle, envelope, pae, private_pem
from tests.signing.chains import Party, Request

ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
ORIGIN = "rekor.test"
EPOCH = "2020-01-01T00:00:00Z"


def der_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def log_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(der_key(key)).digest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def octets(content: bytes, tag: int = 0x04) -> bytes:
    """DER of one string under 64 KiB."""
    size = len(content)
    if size < 128:
        length = bytes([size])
    elif size < 256:
        length = bytes([0x81, size])
    else:
        length = b"\x82" + struct.pack("!H", size)
    return bytes([tag]) + length + content


def _authority(common_name: str, issuer: Party | None = None) -> Party:
    request = Request(common_name, authority=True)
    request.since = datetime(2020, 1, 1, tzinfo=UTC)
    request.until = datetime(2040, 1, 1, tzinfo=UTC)
    public = request.key.public_key()
    request["identifier"] = x509.SubjectKeyIdentifier.from_public_key(public)
    parent = issuer.key.public_key() if issuer else public
    request["parent"] = x509.AuthorityKeyIdentifier.from_issuer_public_key(parent)
    return request.issue(issuer)


class SigstoreInstance:
    """Keys and certificates of one instance, and what they issue."""

    def __init__(self) -> None:
        self.root = _authority("Fulcio root")
        self.fulcio = _authority("Fulcio", self.root)
        self.ct_key = ec.generate_private_key(ec.SECP256R1())
        self.rekor_key = ec.generate_private_key(ec.SECP256R1())
        self.tsa_root = _authority("TSA root")
        self.tsa = self._timestamp_authority()

    def _timestamp_authority(self) -> Party:
        request = Request("TSA")
        request.since = datetime(2020, 1, 1, tzinfo=UTC)
        request.until = datetime(2040, 1, 1, tzinfo=UTC)
        request["purpose"] = None
        request["critical purpose"] = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        return request.issue(self.tsa_root)

    def trusted_root(self, *, timestamps: bool = True) -> bytes:
        """The instance's ``trusted_root.json``."""
        authorities = [[self.fulcio.certificate, self.root.certificate]]
        tsas = [[self.tsa.certificate, self.tsa_root.certificate]] if timestamps else []
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log("https://rekor.test", self.rekor_key)],
            "certificateAuthorities": [_ca("https://fulcio.test", each) for each in authorities],
            "ctlogs": [_log("https://ct.test", self.ct_key)],
            "timestampAuthorities": [_ca("https://tsa.test", each) for each in tsas],
        }
        return json.dumps(document).encode()

    def certificate(
        self,
        subjects: x509.GeneralName | list[x509.GeneralName],
        issuer: str,
        at: datetime,
        *,
        second_issuer: str | None = None,
        ct_key: ec.EllipticCurvePrivateKey | None = None,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
    ) -> Party:
        """A ten-minute certificate with an embedded SCT, as Fulcio issues it."""
        request = Request("unused")
        request.subject = x509.Name([])
        request.since, request.until = at, at + timedelta(minutes=10)
        request["purpose"] = x509.ExtendedKeyUsage([purpose])
        request["critical names"] = x509.SubjectAlternativeName(
            subjects if isinstance(subjects, list) else [subjects]
        )
        request["issuer 1"] = x509.UnrecognizedExtension(ISSUER_V1, issuer.encode())
        second = octets((second_issuer or issuer).encode(), 0x0C)
        request["issuer 2"] = x509.UnrecognizedExtension(ISSUER_V2, second)
        parent = self.fulcio.key.public_key()
        request["identifier"] = x509.SubjectKeyIdentifier.from_public_key(request.key.public_key())
        request["parent"] = x509.AuthorityKeyIdentifier.from_issuer_public_key(parent)
        request["constraints"] = None
        serial = x509.random_serial_number()
        before = _sign(request, self.fulcio, serial)
        sct = self._sct(before.tbs_certificate_bytes, at, ct_key or self.ct_key)
        request["sct"] = x509.UnrecognizedExtension(SCT_LIST, octets(sct))
        return Party(request.key, _sign(request, self.fulcio, serial))

    def _sct(self, tbs: bytes, at: datetime, key: ec.EllipticCurvePrivateKey) -> bytes:
        """A list of one signed certificate timestamp (RFC 6962 section 3)."""
        milliseconds = struct.pack("!Q", int(at.timestamp() * 1000))
        issuer = hashlib.sha256(der_key(self.fulcio.key)).digest()
        length = struct.pack("!I", len(tbs))[1:]
        signed = b"\0\0" + milliseconds + b"\0\1" + issuer + length + tbs + b"\0\0"
        signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
        sct = b"\0" + log_id(key) + milliseconds + b"\0\0" + b"\4\3"
        sct += struct.pack("!H", len(signature)) + signature
        entry = struct.pack("!H", len(sct)) + sct
        return struct.pack("!H", len(entry)) + entry

    def sign(
        self,
        statement: Json | bytes,
        subject: x509.GeneralName,
        issuer: str,
        at: datetime,
        signer: Party | None = None,
    ) -> Json:
        """A bundle as with Rekor v1: ``dsse`` entry, inclusion promise and proof."""
        party = signer or self.certificate(subject, issuer, at)
        dsse = envelope(statement, party.key)
        dsse["signatures"][0].pop("keyid")
        payload = base64.b64decode(dsse["payload"])
        pem = party.certificate.public_bytes(serialization.Encoding.PEM)
        body = canonical(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": {
                        "algorithm": "sha256",
                        "value": hashlib.sha256(canonical(dsse)).hexdigest(),
                    },
                    "payloadHash": {
                        "algorithm": "sha256",
                        "value": hashlib.sha256(payload).hexdigest(),
                    },
                    "signatures": [
                        {"signature": dsse["signatures"][0]["sig"], "verifier": b64(pem)}
                    ],
                },
            }
        )
        entry = self._entry(body, "dsse", "0.0.1")
        entry["integratedTime"] = str(int(at.timestamp()) + 1)
        entry["inclusionPromise"] = {"signedEntryTimestamp": b64(self._promise(entry, body))}
        return bundle(dsse, _material(party, entry, []))

    def sign_v2(
        self,
        statement: Json | bytes,
        subject: x509.GeneralName,
        issuer: str,
        folder: Path,
    ) -> Json:
        """A bundle as with Rekor v2: ``hashedrekord`` entry over the PAE, time from the TSA."""
        at = datetime.now(UTC) - timedelta(seconds=30)
        party = self.certificate(subject, issuer, at.replace(microsecond=0))
        dsse = envelope(statement, party.key)
        dsse["signatures"][0].pop("keyid")
        signature = base64.b64decode(dsse["signatures"][0]["sig"])
        digest = hashlib.sha256(pae(base64.b64decode(dsse["payload"]))).digest()
        verifier = {
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "x509Certificate": {"rawBytes": b64(der(party.certificate))},
        }
        record = {
            "data": {"algorithm": "SHA2_256", "digest": b64(digest)},
            "signature": {"content": b64(signature), "verifier": verifier},
        }
        body = canonical(
            {
                "apiVersion": "0.0.2",
                "kind": "hashedrekord",
                "spec": {"hashedRekordV002": record},
            }
        )
        entry = self._entry(body, "hashedrekord", "0.0.2")
        entry["integratedTime"] = "0"
        token = self.timestamp(signature, folder)
        return bundle(dsse, _material(party, entry, [{"signedTimestamp": b64(token)}]))

    def _promise(self, entry: Json, body: bytes) -> bytes:
        """The signed entry timestamp: over the canonical entry."""
        promised = {
            "body": b64(body),
            "integratedTime": int(entry["integratedTime"]),
            "logID": log_id(self.rekor_key).hex(),
            "logIndex": int(entry["logIndex"]),
        }
        return self.rekor_key.sign(canonical(promised), ec.ECDSA(hashes.SHA256()))

    def _entry(self, body: bytes, kind: str, version: str) -> Json:
        """A log entry with its proof: the second of three leaves (RFC 6962 section 2.1)."""
        leaf = hashlib.sha256(b"\0" + body).digest()
        first, last = (hashlib.sha256(b"\0" + each).digest() for each in (b"first", b"last"))
        inner = hashlib.sha256(b"\1" + first + leaf).digest()
        root = hashlib.sha256(b"\1" + inner + last).digest()
        note = f"{ORIGIN}\n3\n{b64(root)}\n"
        signature = self.rekor_key.sign(note.encode(), ec.ECDSA(hashes.SHA256()))
        signed = b64(log_id(self.rekor_key)[:4] + signature)
        return {
            "logIndex": "1",
            "logId": {"keyId": b64(log_id(self.rekor_key))},
            "kindVersion": {"kind": kind, "version": version},
            "inclusionProof": {
                "logIndex": "1",
                "rootHash": b64(root),
                "treeSize": "3",
                "hashes": [b64(first), b64(last)],
                "checkpoint": {"envelope": f"{note}\n\u2014 {ORIGIN} {signed}\n"},
            },
            "canonicalizedBody": b64(body),
        }

    def timestamp(self, message: bytes, folder: Path) -> bytes:
        """An RFC 3161 response over a message, of this moment, by ``openssl ts``."""
        (folder / "tsa.pem").write_text(self.tsa.pem)
        (folder / "tsa.key").write_bytes(private_pem(self.tsa.key))
        (folder / "serial").write_text("01")
        (folder / "tsa.cnf").write_text(
            "[tsa]\ndefault_tsa = us\n[us]\n"
            f"serial = {folder}/serial\nsigner_cert = {folder}/tsa.pem\n"
            f"signer_key = {folder}/tsa.key\nsigner_digest = sha256\ndefault_policy = 1.2.3.4\n"
            "digests = sha256\naccuracy = secs:1\ness_cert_id_alg = sha256\n"
        )
        digest = hashlib.sha256(message).hexdigest()
        query = ["-query", "-digest", digest, "-sha256", "-cert", "-out", f"{folder}/query"]
        reply = ["-reply", "-config", f"{folder}/tsa.cnf", "-queryfile", f"{folder}/query"]
        for arguments in (query, [*reply, "-out", f"{folder}/reply"]):
            subprocess.run(["openssl", "ts", *arguments], check=True, capture_output=True)
        return (folder / "reply").read_bytes()


def _sign(request: Request, issuer: Party, serial: int) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(request.key.public_key())
        .serial_number(serial)
        .not_valid_before(request.since)
        .not_valid_after(request.until)
    )
    for extension, critical in request.extensions.values():
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer.key, hashes.SHA256())


def _material(party: Party, entry: Json, timestamps: list[Json]) -> Json:
    return {
        "certificate": {"rawBytes": b64(der(party.certificate))},
        "tlogEntries": [entry],
        "timestampVerificationData": {"rfc3161Timestamps": timestamps},
    }


def _log(url: str, key: ec.EllipticCurvePrivateKey) -> Json:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": b64(der_key(key)),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": EPOCH},
        },
        "logId": {"keyId": b64(log_id(key))},
    }


def _ca(uri: str, chain: list[x509.Certificate]) -> Json:
    return {
        "subject": {"organization": "test", "commonName": "test"},
        "uri": uri,
        "certChain": {"certificates": [{"rawBytes": b64(der(each))} for each in chain]},
        "validFor": {"start": EPOCH},
    }
