"""The certificate that is served: loaded from files, and again when they change.

A live TLS context takes a new certificate without closing anything: connections go on as they are,
and new handshakes get the new one.
"""

import asyncio
import ssl
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509
from msgspec import Struct

from weighmaster.errors import SettingsError
from weighmaster.telemetry import CertificateMetrics

LOOK_EVERY = 2.0
"""Seconds between looks at the files. Kubelets take a minute or more to change them."""

_log = structlog.get_logger()


class _Pair(Struct, frozen=True):
    """A certificate chain and its key, PEM, read at one time."""

    certificate: bytes
    key: bytes


class ServingCertificate:
    """A TLS context for the webhook, with the certificate that the files hold."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        metrics: CertificateMetrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._certificate = certificate
        self._key = key
        self._metrics = metrics
        self._clock = clock
        self._loaded: _Pair | None = None
        self._not_after: datetime | None = None
        self._problem = "there is no serving certificate yet"

    def load(self) -> None:
        """Take what the files hold now.

        Raises SettingsError when it cannot be served; what was served before then stays.
        """
        pair = self._read()
        if pair == self._loaded:
            return
        # A context that refuses a pair has half of it, so it is tried on another one.
        with tempfile.TemporaryDirectory() as folder:
            self._load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair, Path(folder))
            self._load_into(self.context, pair, Path(folder))
        chain = x509.load_pem_x509_certificates(pair.certificate)
        self._not_after = chain[0].not_valid_after_utc
        self._metrics.serve(self._not_after)
        _log.info("serving certificate loaded", expires=self._not_after.isoformat())
        self._loaded = pair

    async def follow(self) -> None:
        """Load what changes, until cancelled."""
        while True:
            try:
                self.load()
                self._problem = ""
            except SettingsError as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    self._metrics.failures.inc()
                    _log.warning("serving certificate not loaded", error=str(error))
            await asyncio.sleep(LOOK_EVERY)

    def not_ready(self) -> str | None:
        """Why no client can trust what is served; None when it can."""
        if self._not_after is None:
            return self._problem
        if self._clock() >= self._not_after:
            return f"the serving certificate has expired on {self._not_after.isoformat()}"
        return None

    def _read(self) -> _Pair:
        try:
            return _Pair(self._certificate.read_bytes(), self._key.read_bytes())
        except FileNotFoundError:
            raise SettingsError(f"tls: {self._certificate} or {self._key} does not exist") from None
        except OSError:
            raise self._unusable() from None

    def _load_into(self, context: ssl.SSLContext, pair: _Pair, folder: Path) -> None:
        """``ssl`` reads files only; from these both are of one time, whatever happens meanwhile."""
        certificate, key = folder / "tls.crt", folder / "tls.key"
        key.touch(mode=0o600)
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        try:
            # Without a password of our own, ssl asks the terminal for that of an encrypted key.
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (ssl.SSLError, OSError):
            raise self._unusable() from None

    def _unusable(self) -> SettingsError:
        return SettingsError(
            f"tls: {self._certificate} and {self._key} are not a readable certificate with its key"
        )
