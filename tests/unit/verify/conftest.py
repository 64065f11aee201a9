import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.attesting import AT, ISSUER, SUBJECT, beside, keyless_envelope
from tests.signing.bundles import Json, public_pem
from tests.signing.cosign import DIGEST
from tests.signing.models import write_model
from tests.signing.sigstore_instance import SigstoreInstance
from tests.unit.verify.volumes import SHARDS, Volume
from weighmaster.core.evidence import SignatureBundle
from weighmaster.core.verify.authorities import (
    KeyAuthority,
    KeylessAuthority,
    key_authority,
    keyless_authority,
)
from weighmaster.core.verify.trust_root import TrustRoot


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification never goes to the network."""

    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise AssertionError("verification went to the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.fixture(scope="session")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def authority(key: ec.EllipticCurvePrivateKey) -> KeyAuthority:
    return key_authority(public_pem(key))


@pytest.fixture(scope="session")
def instance() -> SigstoreInstance:
    return SigstoreInstance()


@pytest.fixture(scope="session")
def signer(instance: SigstoreInstance) -> KeylessAuthority:
    """The identity by which the fixture ``keyless`` attests."""
    return keyless_authority(TrustRoot(instance.trusted_root()), ISSUER, subject=SUBJECT)


@pytest.fixture(params=["envelope", "bundle"])
def keyless(
    request: pytest.FixtureRequest, instance: SigstoreInstance
) -> Callable[..., SignatureBundle]:
    """A keyless attestation in each form."""

    def make(statement: Json, at: datetime = AT, subject: str = SUBJECT) -> SignatureBundle:
        name = x509.RFC822Name(subject)
        party = instance.certificate(name, ISSUER, at)
        if request.param == "bundle":
            return beside(instance.sign(statement, name, ISSUER, at, party), DIGEST)
        return keyless_envelope(statement, instance, party, at + timedelta(seconds=1))

    return make


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """A volume with the model SHARDS."""
    found = Volume(tmp_path / "weights")
    write_model(found.model, SHARDS)
    return found
