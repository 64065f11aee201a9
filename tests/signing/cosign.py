"""Signatures of OCI artifacts: by real ``cosign`` programs, and as cosign makes them.

The programs are Debian's: 2.5 from trixie and 3.1 from forky, whatever release this machine has.
Each is looked for in the cache, and otherwise fetched with ``apt-get download`` and package lists
of its own and unpacked there: nothing is installed, and the system's lists stay as they are.

``python -m tests.signing.cosign`` prints where the programs are.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import Json, b64, key_bundle, raw
from tests.signing.chains import NOW, Chain, Party
from tests.signing.sigstore_instance import SigstoreInstance, canonical, der_key, log_id
from weighmaster.core.evidence import SignatureBundle, SignatureKind
from weighmaster.core.verify.authorities import Authority
from weighmaster.core.verify.cosign import verify_cosign
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.core.verify.signature import Signer
from weighmaster.errors import VerificationError

SUITES = {"2.5": "trixie", "3.1": "forky"}
SIGN = "https://sigstore.dev/cosign/sign/v1"
TYPE = "cosign container image signature"
DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
PREFIX = "dev.sigstore.cosign/"
SIGNATURE = "dev.cosignproject.cosign/signature"

_CERTIFIED = ("--certificate", "leaf.pem", "--certificate-chain", "chain.pem")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class CosignUnavailableError(Exception):
    """There is no such cosign on this machine and none can be fetched; the message says why."""


def find_cosign(version: str) -> Path:
    """The program of a version. Raises CosignUnavailableError."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = base / "weighmaster" / f"cosign-{version}"
    program = directory / "usr" / "bin" / "cosign"
    if not program.is_file():
        _fetch(SUITES[version], directory)
    if not program.is_file():
        raise CosignUnavailableError("the package cosign has no program cosign")
    return program


def _fetch(suite: str, directory: Path) -> None:
    """Fetch and unpack the package; another process may do so at the same time."""
    if not (shutil.which("apt-get") and shutil.which("dpkg") and _KEYRING.is_file()):
        raise CosignUnavailableError("no Debian's apt-get here to fetch cosign with")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent) as name:
            scratch = Path(name)
            options = _apt(scratch, suite)
            _run(["apt-get", *options, "update"], scratch)
            _run(["apt-get", *options, "download", "cosign"], scratch)
            packages = list(scratch.glob("*.deb"))
            if len(packages) != 1:
                raise CosignUnavailableError("apt-get download gave no cosign")
            unpacked = scratch / "unpacked"
            _run(["dpkg", "-x", str(packages[0]), str(unpacked)], scratch)
            if not directory.exists():
                unpacked.rename(directory)
    except OSError as error:
        raise CosignUnavailableError(f"nothing can be kept in {directory}: {error}") from error


def _apt(scratch: Path, suite: str) -> list[str]:
    """Options that keep apt to a directory and to one suite."""
    for folder in ("lists/partial", "cache/archives/partial", "none"):
        (scratch / folder).mkdir(parents=True)
    (scratch / "status").touch()
    sources = scratch / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] http://deb.debian.org/debian {suite} main\n")
    values = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": scratch / "none",
        "Dir::State": scratch,
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in values.items() for word in ("-o", f"{key}={value}")]


def _run(command: list[str], directory: Path) -> None:
    try:
        subprocess.run(
            command, cwd=directory, check=True, capture_output=True, text=True, timeout=180
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no output"])[-1]
        raise CosignUnavailableError(f"{command[0]} {command[-1]} failed: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise CosignUnavailableError(f"{command[0]} {command[-1]} took over 180 s") from error


@dataclass
class Cosign:
    """A program and a key pair of its making, in a directory of its own."""

    version: str
    directory: Path
    program: Path = field(init=False)

    def __post_init__(self) -> None:
        self.program = find_cosign(self.version)
        self._call("generate-key-pair")

    @property
    def public_key(self) -> str:
        return (self.directory / "cosign.pub").read_text()

    def certify(self, chain: Chain) -> None:
        """Have its key certified; signatures then carry the certificate."""
        key = serialization.load_pem_public_key(self.public_key.encode())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        request = chain.leaf_request
        issuer = chain.intermediate
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(issuer.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(request.since)
            .not_valid_after(request.until)
        )
        for extension, critical in request.extensions.values():
            builder = builder.add_extension(extension, critical=critical)
        leaf = builder.sign(issuer.key, hashes.SHA256())
        (self.directory / "leaf.pem").write_text(Party(issuer.key, leaf).pem)
        (self.directory / "chain.pem").write_text(issuer.pem + chain.root.pem)

    def sign(self, reference: str, *arguments: str, certified: bool = False) -> None:
        """Sign an artifact in a registry, without a log."""
        self._push("sign", reference, *arguments, *(_CERTIFIED if certified else ()))

    def attest(
        self,
        reference: str,
        *arguments: str,
        predicate: str = '{"scan": "passed"}',
        kind: str = "custom",
        certified: bool = False,
    ) -> None:
        """Attest something of an artifact; ``predicate`` is JSON."""
        (self.directory / "predicate.json").write_text(predicate)
        what = ["--predicate", "predicate.json", "--type", kind]
        self._push("attest", reference, *what, *arguments, *(_CERTIFIED if certified else ()))

    def _push(self, command: str, reference: str, *arguments: str) -> None:
        offline = ["--tlog-upload=false", "--allow-insecure-registry", "--yes"]
        if self.version.startswith("3"):
            offline.append("--use-signing-config=false")
        self._call(command, "--key", "cosign.key", *offline, *arguments, reference)

    def _call(self, *arguments: str) -> None:
        kept = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
        # The experimental flag is what makes 2.5 accept the mode of referrers.
        environment = {**kept, "HOME": str(self.directory), "COSIGN_PASSWORD": ""}
        environment["COSIGN_EXPERIMENTAL"] = "1"
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def payload_of(digest: str, **critical: Any) -> bytes:
    """A simple-signing payload as cosign writes it."""
    parts = {
        "identity": {"docker-reference": "registry.example/acme/model"},
        "image": {"docker-manifest-digest": digest},
        "type": TYPE,
    }
    return json.dumps({"critical": {**parts, **critical}, "optional": None}).encode()


def legacy(
    payload: bytes,
    key: ec.EllipticCurvePrivateKey,
    chain: list[x509.Certificate] | None = None,
    algorithm: hashes.HashAlgorithm | None = None,
    **notes: str,
) -> SignatureBundle:
    """A signature in annotations, by key or with certificates, the leaf first."""
    signature = key.sign(payload, ec.ECDSA(algorithm or hashes.SHA256()))
    found = {SIGNATURE: b64(signature)}
    if chain:
        found[f"{PREFIX}certificate"] = pem_of(chain[:1])
        found[f"{PREFIX}chain"] = pem_of(chain[1:])
    found |= {f"{PREFIX}{name}": value for name, value in notes.items()}
    return simple(payload, found)


def simple(payload: bytes, annotations: dict[str, str]) -> SignatureBundle:
    return SignatureBundle(
        kind=SignatureKind.COSIGN_SIGNATURE,
        content=payload,
        source="sha256-0.sig",
        subject=None,
        annotations=tuple(annotations.items()),
    )


def entry_body(payload: bytes, signature: str, certificate: x509.Certificate) -> Json:
    """What Rekor v1 stores of a signature (hashedrekord 0.0.1)."""
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}},
            "signature": {
                "content": signature,
                "publicKey": {"content": b64(pem_of([certificate]).encode())},
            },
        },
    }


def promise(
    body: Json, seconds: int, key: ec.EllipticCurvePrivateKey, index: int = 7
) -> dict[str, Any]:
    """An entry that a log promises to take in: what cosign keeps as ``bundle``."""
    payload = {
        "body": b64(canonical(body)),
        "integratedTime": seconds,
        "logIndex": index,
        "logID": log_id(key).hex(),
    }
    signed = key.sign(canonical(payload), ec.ECDSA(hashes.SHA256()))
    return {"SignedEntryTimestamp": b64(signed), "Payload": payload}


def keyless(
    payload: bytes, instance: SigstoreInstance, party: Party, seconds: int
) -> SignatureBundle:
    """A keyless signature of the older form, with a promise of the instance's log."""
    certificate = party.certificate
    signed = legacy(payload, party.key, [certificate])
    signature = dict(signed.annotations)[SIGNATURE]
    entry = promise(entry_body(payload, signature, certificate), seconds, instance.rekor_key)
    return noted(signed, bundle=json.dumps(entry))


def noted(signed: SignatureBundle, **notes: str | None) -> SignatureBundle:
    """With other annotations; None takes one away."""
    found = dict(signed.annotations)
    for name, value in notes.items():
        found.pop(f"{PREFIX}{name}", None)
        if value is not None:
            found[f"{PREFIX}{name}"] = value
    return simple(signed.content, found)


def statement(digest: str, predicate_type: str = SIGN, **fields: Any) -> Json:
    """The statement of cosign 3 about an artifact."""
    subject = {"digest": {"sha256": digest.removeprefix("sha256:")}, "annotations": {}}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [subject],
        "predicateType": predicate_type,
        "predicate": {},
        **fields,
    }


def attached(document: Json | bytes, digest: str) -> SignatureBundle:
    """A Sigstore bundle as a referrer of an artifact."""
    content = document if isinstance(document, bytes) else raw(document)
    return SignatureBundle(
        kind=SignatureKind.BUNDLE, content=content, source="sha256:1", subject=digest
    )


def cosign_bundle(value: Json | bytes, key: ec.EllipticCurvePrivateKey) -> Json:
    """As cosign 3.1 writes it: the hint is base64, and there is no list of log entries."""
    document = key_bundle(value, key)
    hint = b64(hashlib.sha256(der_key(key)).digest())
    document["verificationMaterial"] = {"publicKey": {"hint": hint}}
    return document


def verify(
    *material: SignatureBundle, by: Authority, digest: str = DIGEST, now: datetime = NOW
) -> Signer:
    return verify_cosign(material, by, digest, now)


def accepted(*material: SignatureBundle, by: Authority, now: datetime = NOW) -> bool:
    """Whether the artifact is verified; an error otherwise, which says why."""
    return bool(verify(*material, by=by, now=now).identity)


def refusal(
    *material: SignatureBundle, by: Authority, digest: str = DIGEST, now: datetime = NOW
) -> VerificationReason:
    """The reason for which it is not verified; fails the test when it is."""
    with pytest.raises(VerificationError) as caught:
        verify(*material, by=by, digest=digest, now=now)
    assert caught.value.message
    return VerificationReason(caught.value.reason)


def pem_of(certificates: list[x509.Certificate]) -> str:
    """Certificates in PEM, one after the other."""
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


if __name__ == "__main__":
    try:
        for each in SUITES:
            print(find_cosign(each))  # noqa: T201
    except CosignUnavailableError as problem:
        sys.exit(f"no cosign: {problem}")
