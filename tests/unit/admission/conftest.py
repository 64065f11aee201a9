"""A real server on a real socket."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.certificates import serving, write_certificate
from tests.unit.admission.client import Client
from tests.unit.admission.reviews import new_handler
from weighmaster.admission.handler import AdmissionHandler
from weighmaster.admission.server import AdmissionServer

Serve = Callable[..., Awaitable[tuple[AdmissionServer, Client]]]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a serving certificate and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    write_certificate(folder)
    return folder


@pytest.fixture
async def serve(certificate: Path) -> AsyncIterator[Serve]:
    """Starts servers, each with a client for it, and stops them."""
    servers: list[AdmissionServer] = []

    async def start(handler: AdmissionHandler | None = None) -> tuple[AdmissionServer, Client]:
        context = serving(certificate).context
        server = AdmissionServer(handler or new_handler(), context, "127.0.0.1", 0)
        port = await server.start()
        servers.append(server)
        trust = ssl.create_default_context(cafile=str(certificate / "tls.crt"))
        return server, Client(port, trust)

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def client(serve: Serve) -> Client:
    """A client of a server that refuses weights without a name."""
    return (await serve())[1]
