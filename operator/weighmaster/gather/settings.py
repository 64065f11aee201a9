"""How evidence is gathered: where from, how patiently, and how much of it at most."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field
from yarl import URL

from weighmaster.errors import SettingsError

MIB = 1024 * 1024

DEFAULT_ENDPOINTS = {
    "hf": "https://huggingface.co",
    "modelscope": "https://modelscope.cn",
    "ngc": "https://api.ngc.nvidia.com",
    "ollama": "https://registry.ollama.ai",
}


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds. ``request`` is for one request with its redirects, ``gather`` for one reference."""

    connect: float = 10.0
    read: float = 30.0
    request: float = 60.0
    gather: float = 300.0


class Caps(Struct, frozen=True, kw_only=True):
    """The most that is read or kept of one model; bytes where not said otherwise."""

    answer: int = 32 * MIB
    """One page or document of an API, a manifest, a token."""
    listing_pages: int = 64
    history_pages: int = 5
    """Pages of a repository's history that are looked through for a commit."""
    files: int = 50_000
    """Number of files in a listing; beyond it, it is incomplete."""
    fetched_file: int = 12 * MIB
    """A file that is fetched to be hashed; hubs keep larger ones as LFS, with a SHA-256."""
    fetched_files: int = 2_000
    fetched_bytes: int = 128 * MIB
    header: int = 16 * MIB
    """A weight file's header."""
    headers: int = 128 * MIB
    """All weight files' headers together."""
    probed_files: int = 512
    """Number of files whose content is looked at."""
    signatures: int = 64
    """Number of signatures and attestations."""
    signature: int = 4 * MIB
    signature_bytes: int = 16 * MIB
    """All of them together."""
    layers: int = 2_048
    manifests: int = 16
    """Number of manifests of one index that are looked into."""


class Holding(Struct, frozen=True, kw_only=True):
    """Seconds for which answers hold.

    ``moving`` is for references that are not pinned, ``signatures`` for those a registry keeps
    beside pinned content; the others are for failures (RFC 2308 calls it negative caching).
    """

    moving: float = 3600.0
    signatures: float = 3600.0
    missing: float = 300.0
    unauthorized: float = 60.0
    unreachable: float = 15.0
    refused: float = 600.0


class GatherSettings(Struct, frozen=True, kw_only=True):
    """Everything about gathering.

    ``endpoints`` replaces a scheme's hub by a mirror, as ``HF_ENDPOINT`` does; ``registries`` does
    so for an OCI registry, by its name in references. ``internal_hosts`` (``host`` or
    ``host:port``) may have addresses that are not public; ``plain_http_hosts`` may be spoken to
    without TLS. Everything else is public and HTTPS. ``proxy`` is used for all hosts but
    ``no_proxy`` and internal ones; ``ca_file`` and ``ca`` (PEM) hold roots that are trusted besides
    the system's.
    """

    endpoints: Mapping[str, str] = field(default_factory=dict)
    registries: Mapping[str, str] = field(default_factory=dict)
    internal_hosts: frozenset[str] = frozenset()
    plain_http_hosts: frozenset[str] = frozenset()
    proxy: str | None = None
    no_proxy: frozenset[str] = frozenset()
    ca_file: Path | None = None
    ca: str = ""
    user_agent: str = "weighmaster"
    concurrency: int = 32
    concurrency_per_host: int = 8
    gathers: int = 16
    """References gathered at one time."""
    attempts: int = 3
    patience: float = 20.0
    """Seconds to wait for a host that asks to come back later; beyond, it is Unavailable."""
    redirects: int = 5
    cache_bytes: int = 64 * MIB
    platform: str = "linux/amd64"
    timeouts: Timeouts = Timeouts()
    caps: Caps = Caps()
    holding: Holding = Holding()

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the setting."""
        for name in ("concurrency", "concurrency_per_host", "gathers", "attempts"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}: must be at least 1")
        if not 0 <= self.redirects <= 20:
            raise SettingsError("redirects: must be between 0 and 20")
        for name, where in (("endpoints", self.endpoints), ("registries", self.registries)):
            for key, endpoint in where.items():
                self._check_endpoint(f"{name}.{key}", endpoint)
        if self.proxy is not None and URL(self.proxy).scheme not in ("http", "https"):
            raise SettingsError("proxy: must be an http or https URL")

    def _check_endpoint(self, name: str, endpoint: str) -> None:
        url = URL(endpoint)
        if not url.host or url.user or url.query_string or url.fragment:
            raise SettingsError(f"{name}: must be a URL without user, query or fragment")
        if url.scheme != "https" and not self.allows_plain_http(url):
            raise SettingsError(f"{name}: must be https, or its host one of plain-http-hosts")

    def endpoint(self, scheme: str) -> URL:
        """Where the hub of a scheme is."""
        return URL(self.endpoints.get(scheme) or DEFAULT_ENDPOINTS[scheme])

    def registry(self, name: str) -> URL:
        """Where an OCI registry is, by its name in references."""
        if endpoint := self.registries.get(name):
            return URL(endpoint)
        url = URL(f"https://{name}")
        return url.with_scheme("http") if name in self.plain_http_hosts else url

    def is_internal(self, url: URL) -> bool:
        """Whether the host may have addresses that are not public."""
        return _listed(url, self.internal_hosts)

    def allows_plain_http(self, url: URL) -> bool:
        """Whether the host may be spoken to without TLS."""
        return _listed(url, self.plain_http_hosts)

    def proxy_for(self, url: URL) -> str | None:
        """The proxy for a URL, if any."""
        if self.proxy is None or self.is_internal(url) or _listed(url, self.no_proxy):
            return None
        return self.proxy


def _listed(url: URL, hosts: frozenset[str]) -> bool:
    host = (url.host or "").lower()
    return host in hosts or f"{host}:{url.port}" in hosts
