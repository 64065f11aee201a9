"""How to reach the API server: from a service account or a kubeconfig, by kopf's own logins."""

import base64
import dataclasses
import os
import ssl
import tempfile
from pathlib import Path

import kopf
from msgspec import Struct

from weighmaster.errors import ClusterError


class Connection(Struct, frozen=True):
    """Where the API server is, and who we are to it."""

    server: str
    context: ssl.SSLContext | None
    token: str | None


def connect() -> Connection:
    """The service account's connection in a pod, else the kubeconfig's.

    Raises ClusterError when there is neither. Reads files: a service account's token changes every
    hour or so, and has to be read again.
    """
    try:
        return _connect()
    except ClusterError:
        raise
    except Exception as error:  # noqa: BLE001 - a broken file raises whatever its reader does
        raise ClusterError(
            f"the service account or kubeconfig cannot be used ({type(error).__name__})"
        ) from None


def log_in(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """What kopf connects by: the service account of a pod, else a kubeconfig.

    Raises ClusterError when there is neither.
    """
    found = kopf.login_with_service_account(settings=settings)
    if found is not None:
        return dataclasses.replace(found, server=_server() or found.server)
    found = kopf.login_with_kubeconfig(settings=settings)
    if found is None:
        raise ClusterError("there is neither a service account nor a kubeconfig to log in with")
    return found


def _server() -> str | None:
    """The API server by the address that every pod is given.

    kopf goes by its name, which only resolves while the cluster's DNS works, and is let out to it.
    """
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not host or not port:
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _connect() -> Connection:
    info = log_in(kopf.OperatorSettings())
    return Connection(
        server=info.server.rstrip("/"),
        context=_context(info) if info.server.startswith("https:") else None,
        token=info.token,
    )


def _context(info: kopf.ConnectionInfo) -> ssl.SSLContext:
    authorities = _pem(info.ca_data)
    context = ssl.create_default_context(
        cafile=str(info.ca_path) if info.ca_path and not authorities else None, cadata=authorities
    )
    if info.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _pem(info.certificate_data), _pem(info.private_key_data)
    if certificate and key:
        # ssl reads certificates from files only; this one is gone when it has been read.
        with tempfile.TemporaryDirectory() as directory:
            chain = Path(directory, "client.pem")
            chain.touch(mode=0o600)
            chain.write_text(f"{certificate}\n{key}\n")
            context.load_cert_chain(chain)
    elif info.certificate_path and info.private_key_path:
        context.load_cert_chain(str(info.certificate_path), str(info.private_key_path))
    return context


def _pem(text: str | bytes | None) -> str | None:
    """PEM text from what a kubeconfig holds: the text itself or its base64."""
    if text is None:
        return None
    plain = text.decode() if isinstance(text, bytes) else text
    return plain if plain.lstrip().startswith("-----") else base64.b64decode(plain).decode()
