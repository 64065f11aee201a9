import socket
from typing import NoReturn

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import public_pem
from weighmaster.core.verify.authorities import KeyAuthority, key_authority


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
