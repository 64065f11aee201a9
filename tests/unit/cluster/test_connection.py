"""Logging in by a kubeconfig, in each of the ways it can hold secrets."""

import base64
import ssl
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml
from aiohttp import web

from tests.certificates import write_certificate
from weighmaster.cluster.client import ApiClient
from weighmaster.cluster.connection import connect
from weighmaster.errors import ClusterError


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """A certificate that is good for the server and for the client."""
    write_certificate(tmp_path)
    return tmp_path


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a kubeconfig and logs in by it."""

    def write(
        user: dict[str, Any], cluster: dict[str, Any], server: str = "https://a:6443/"
    ) -> Any:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(path))
        return connect()

    return write


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_token_is_taken(login: Any) -> None:
    connection = login({"token": "t"}, {})
    assert (connection.server, connection.token) == ("https://a:6443", "t")
    assert connection.context.verify_mode is ssl.CERT_REQUIRED


def test_plain_server_has_no_tls(login: Any) -> None:
    assert login({"token": "t"}, {}, "http://127.0.0.1:8001").context is None


def test_authority_by_path_and_by_data_is_trusted(login: Any, pki: Path) -> None:
    for cluster in (
        {"certificate-authority": str(pki / "tls.crt")},
        {"certificate-authority-data": encoded(pki / "tls.crt")},
    ):
        found = login({"token": "t"}, cluster).context.get_ca_certs()
        assert [dict(part[0] for part in each["subject"])["commonName"] for each in found] == [
            "weighmaster"
        ]


def test_insecure_is_only_what_is_asked_for(login: Any) -> None:
    assert login({}, {"insecure-skip-tls-verify": True}).context.verify_mode is ssl.CERT_NONE
    assert login({}, {}).context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.network
@pytest.mark.parametrize("form", ["data", "path"])
async def test_client_certificate_is_presented(login: Any, pki: Path, form: str) -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        seen.append(request.transport.get_extra_info("peercert"))
        return web.json_response({"items": [], "metadata": {"resourceVersion": "1"}})

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "tls.crt"))
    context.load_cert_chain(pki / "tls.crt", pki / "tls.key")
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.ServerRunner(web.Server(answer))  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    user = (
        {
            "client-certificate-data": encoded(pki / "tls.crt"),
            "client-key-data": encoded(pki / "tls.key"),
        }
        if form == "data"
        else {"client-certificate": str(pki / "tls.crt"), "client-key": str(pki / "tls.key")}
    )
    connection = login(
        user,
        {"certificate-authority": str(pki / "tls.crt")},
        f"https://127.0.0.1:{runner.addresses[0][1]}",
    )
    async with ApiClient(lambda: connection) as client:
        assert (await client.list("/things")).resource_version == "1"
    assert seen[0]["subject"]
    await runner.cleanup()


def test_nothing_to_log_in_with_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ClusterError, match="neither a service account nor a kubeconfig"):
        connect()


@pytest.mark.parametrize("text", [None, "", "[", "[]", "current-context: x", "hf_secret: {"])
def test_kubeconfig_that_cannot_be_read_is_an_error_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(ClusterError) as caught:
        connect()
    assert "hf_secret" not in str(caught.value)


def test_certificate_that_is_no_certificate_is_an_error(login: Any) -> None:
    for user in (
        {"client-certificate-data": "anVuaw==", "client-key-data": "anVuaw=="},
        {"client-certificate": "/none", "client-key": "/none"},
    ):
        with pytest.raises(ClusterError, match="cannot be used"):
            login(user, {})


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("10.0.0.1", "https://10.0.0.1:443"),
        ("fd00::1", "https://[fd00::1]:443"),
        ("", "https://kubernetes.default.svc"),
    ],
)
def test_service_account_needs_no_name_to_be_resolved(
    monkeypatch: pytest.MonkeyPatch, host: str, server: str
) -> None:
    """A webhook that waits for the cluster's DNS could never let it start, were it not exempt."""
    info = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: info)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = connect()
    assert (found.server, found.token) == (server, "t")
