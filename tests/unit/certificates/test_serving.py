"""What is served follows the files, whatever is in them, and never drops a connection."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from tests.unit.admission.client import Client, head
from tests.unit.admission.reviews import body, new_handler
from tests.unit.core.builders import pod
from weighmaster.admission.server import AdmissionServer
from weighmaster.certificates import serving as serving_module
from weighmaster.certificates.generation import Generation, issue
from weighmaster.certificates.serving import ServingCertificate
from weighmaster.errors import SettingsError
from weighmaster.telemetry import CertificateMetrics

NOW = datetime.now(UTC).replace(microsecond=0)
GOOD = body(pod("acme/m"))


def new_generation(days: int = 90, now: datetime = NOW) -> Generation:
    return issue(["localhost"], now, timedelta(days=days))


class Files:
    """A certificate and key on disk, replaced as kubelets do: by one rename."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self._folder = folder
        self._count = 0
        for path in (self.certificate, self.key):
            path.symlink_to(Path("..data", path.name))

    def write(self, certificate: str, key: str) -> None:
        self._count += 1
        version = self._folder / f"..version-{self._count}"
        version.mkdir()
        (version / "tls.crt").write_text(certificate)
        (version / "tls.key").write_text(key)
        pointer = self._folder / "..data_tmp"
        pointer.symlink_to(version.name)
        pointer.rename(self._folder / "..data")

    def put(self, generation: Generation) -> Generation:
        self.write(generation.certificate, generation.key)
        return generation


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def certificate(files: Files, registry: CollectorRegistry) -> ServingCertificate:
    return ServingCertificate(files.certificate, files.key, CertificateMetrics(registry))


def metric(registry: CollectorRegistry, name: str) -> float | None:
    return registry.get_sample_value(f"weighmaster_serving_certificate_{name}")


@pytest.mark.parametrize("broken", ["none", "junk", "folder", "certificate only"])
def test_files_that_cannot_be_served_are_told(
    files: Files, certificate: ServingCertificate, broken: str
) -> None:
    good = new_generation()
    match broken:
        case "junk":
            files.write("junk", good.key)
        case "folder":
            files.certificate.unlink()
            files.certificate.mkdir()
        case "certificate only":
            files.write(good.certificate, "")
    with pytest.raises(SettingsError, match=r"^tls: .* (does not exist|its key)$"):
        certificate.load()
    assert certificate.not_ready() == "there is no serving certificate yet"


def test_key_of_another_certificate_is_told(files: Files, certificate: ServingCertificate) -> None:
    files.write(new_generation().certificate, new_generation().key)
    with pytest.raises(SettingsError, match="not a readable certificate with its key"):
        certificate.load()


def test_encrypted_key_is_told_and_no_password_asked_for(
    files: Files, certificate: ServingCertificate
) -> None:
    good = new_generation()
    key = serialization.load_pem_private_key(good.key.encode(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    files.write(good.certificate, encrypted.decode())
    with pytest.raises(SettingsError, match="not a readable certificate with its key"):
        certificate.load()


def test_expiry_is_a_metric_and_an_expired_certificate_is_not_ready(
    files: Files, registry: CollectorRegistry
) -> None:
    now = NOW
    certificate = ServingCertificate(
        files.certificate, files.key, CertificateMetrics(registry), clock=lambda: now
    )
    assert str(metric(registry, "expiry_timestamp_seconds")) == "nan"
    files.put(new_generation(days=90))
    certificate.load()
    ends = NOW + timedelta(days=90)
    assert metric(registry, "expiry_timestamp_seconds") == ends.timestamp()
    assert certificate.not_ready() is None
    now = ends
    assert "has expired" in (certificate.not_ready() or "")


def test_private_key_is_not_in_what_is_exported_or_shown(
    files: Files, certificate: ServingCertificate, registry: CollectorRegistry
) -> None:
    generation = files.put(new_generation())
    certificate.load()
    shown = f"{generation!r} {generation} {generate_latest(registry).decode()}"
    assert "PRIVATE" not in shown


def test_files_that_have_not_changed_are_not_loaded_again(
    files: Files, certificate: ServingCertificate
) -> None:
    files.put(new_generation())
    with capture_logs() as logs:
        certificate.load()
        certificate.load()
        assert len(logs) == 1
        files.put(new_generation())
        certificate.load()
    assert len(logs) == 2


class Server:
    """The webhook's server, with a certificate that follows its files quickly."""

    def __init__(self, certificate: ServingCertificate, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serving_module, "LOOK_EVERY", 0.01)
        self._certificate = certificate
        self._server = AdmissionServer(new_handler(), certificate.context, "127.0.0.1", 0)

    async def __aenter__(self) -> int:
        self._following = asyncio.create_task(self._certificate.follow())
        return await self._server.start()

    async def __aexit__(self, *_: object) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        await self._server.stop()


def trusting(*generations: Generation) -> ssl.SSLContext:
    """Trusts certificates of these generations, without anything remembered of former ones."""
    bundle = "".join(each.authority for each in generations)
    return ssl.create_default_context(cadata=bundle)


async def is_served(port: int, generation: Generation, within: float = 5.0) -> bool:
    """Whether new connections get a generation's certificate soon."""
    end = asyncio.get_running_loop().time() + within
    while asyncio.get_running_loop().time() < end:
        try:
            async with await Client(port, trusting(generation)).connect():
                return True
        except (ssl.SSLError, ConnectionError):
            await asyncio.sleep(0.01)
    return False


@pytest.mark.network
async def test_webhook_without_a_certificate_waits_for_one(
    files: Files, certificate: ServingCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server(certificate, monkeypatch) as port:
        await asyncio.sleep(0.1)
        assert "does not exist" in (certificate.not_ready() or "")
        generation = new_generation()
        assert not await is_served(port, generation, within=0.1)
        files.put(generation)
        assert await is_served(port, generation)
        assert certificate.not_ready() is None


@pytest.mark.network
@pytest.mark.parametrize(
    "mistake", ["mismatched", "junk", "gone"], ids=lambda name: f"files are {name}"
)
async def test_mistake_in_the_files_leaves_the_old_certificate_in_use(
    files: Files,
    certificate: ServingCertificate,
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
    mistake: str,
) -> None:
    old = files.put(new_generation())
    async with Server(certificate, monkeypatch) as port:
        assert await is_served(port, old)
        match mistake:
            case "mismatched":
                files.write(new_generation().certificate, new_generation().key)
            case "junk":
                files.write("junk", "junk")
            case "gone":
                files.certificate.unlink()
        for _ in range(500):
            if metric(registry, "failures_total"):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert await is_served(port, old)
        assert certificate.not_ready() is None
        assert metric(registry, "failures_total") == 1


@pytest.mark.network
async def test_rotation_under_load_loses_no_request_and_no_connection(
    files: Files, certificate: ServingCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections stay, others come anew for each request, twenty certificates follow each other.

    Each CA is trusted before a certificate of it is served, as the keeper has it.
    """
    generations = [new_generation() for _ in range(20)]
    context = trusting(*generations)
    files.put(generations[0])
    done = asyncio.Event()
    answered = {"kept": 0, "new": 0}

    async with Server(certificate, monkeypatch) as port:
        assert await is_served(port, generations[0])
        client = Client(port, context)

        async def stay() -> None:
            async with await client.connect() as connection:
                while not done.is_set():
                    await connection.send(head(Content_Length=len(GOOD)), GOOD)
                    status, _ = await connection.response()
                    assert status == 200
                    answered["kept"] += 1

        async def come_anew() -> None:
            while not done.is_set():
                status, _ = await client.post(GOOD)
                assert status == 200
                answered["new"] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(stay())
            for _ in range(2):
                group.create_task(come_anew())
            for generation in generations[1:]:
                files.put(generation)
                assert await is_served(port, generation)
            done.set()
    assert answered["kept"] > 100
    assert answered["new"] > 20


def test_issued_certificate_is_what_go_and_openssl_ask_for() -> None:
    """RFC 5280, and what Go's verifier wants besides: names as SANs, an extended key usage."""
    generation = issue(["a.b.svc", "10.1.2.3"], NOW, timedelta(days=90))
    leaf = x509.load_pem_x509_certificate(generation.certificate.encode())
    authority = x509.load_pem_x509_certificate(generation.authority.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["a.b.svc", "10.1.2.3"]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert leaf.not_valid_after_utc == authority.not_valid_after_utc == NOW + timedelta(days=90)
    leaf.verify_directly_issued_by(authority)
