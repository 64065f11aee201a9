"""What a staging container is told: the models to download, and how to reach their hub.

It travels by value, in one variable of the container, so that what is downloaded is what admission
has decided on, whatever changes in the cluster. What the container tells is a ``mounted.Verdict``.
"""

from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

CONTAINER = "weighmaster-stage"
"""Name of the staging container."""

COMMAND = ("weighmaster", "stage")
VARIABLE = "WEIGHMASTER_DOWNLOADS"
"""The environment variable that holds the downloads."""

TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a variable
"""The environment variable that holds the hub's token, where there is one: never by value."""

VOLUME = "weighmaster-models"
"""Name of the volume that models are downloaded to."""

MODELS = "/models"
"""Folder of the container at which the volume is."""

MAX_DOWNLOADS = 16
"""Models in one pod."""

MAX_DOWNLOADS_BYTES = 96 * 1024
"""Linux takes no variable of 128 KiB (MAX_ARG_STRLEN)."""

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_REFERENCE = rf"\Ahf://{_PART}(/{_PART})?@[0-9a-f]{{40}}\Z"
_FOLDER = rf"\A{_PART}(/{_PART}){{0,7}}\Z"
_Url = Annotated[str, Meta(max_length=2048)]
_Hosts = Annotated[tuple[Annotated[str, Meta(max_length=261)], ...], Meta(max_length=64)]


class _Wire(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of what travels; unknown fields are refused, since one may be a restriction."""


class Download(_Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model.

    ``reference`` is canonical and names a commit; ``folder`` is where its files are to be, below
    the volume. ``digest`` is that of all its files that may be loaded (``core.verify.loadable``),
    ``fingerprints`` tells them apart.
    """

    reference: Annotated[str, Meta(pattern=_REFERENCE, max_length=256)]
    folder: Annotated[str, Meta(pattern=_FOLDER, max_length=512)]
    digest: Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
    fingerprints: Annotated[str, Meta(max_length=16 * 1024)] = ""


class Hub(_Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the hub is reached from pods.

    ``endpoints`` are base URLs by scheme, where a scheme's is not the public one. A host is
    ``host`` or ``host:port``; ``internal_hosts`` may have private addresses, ``plain_http_hosts``
    are spoken to without TLS. ``proxy`` is a URL, used for all but internal hosts and
    ``no_proxy``. ``ca`` has further root certificates in PEM.
    """

    endpoints: Annotated[dict[str, _Url], Meta(max_length=8)] = field(default_factory=dict)
    internal_hosts: _Hosts = ()
    plain_http_hosts: _Hosts = ()
    proxy: _Url = ""
    no_proxy: _Hosts = ()
    ca: Annotated[str, Meta(max_length=32 * 1024)] = ""


PUBLIC = Hub()
"""The public hub, reached without a proxy."""


class Downloads(_Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is downloaded in one pod, and by which hub."""

    models: Annotated[tuple[Download, ...], Meta(min_length=1, max_length=MAX_DOWNLOADS)]
    hub: Hub = PUBLIC


_downloads = msgspec.json.Decoder(Downloads)
_encoder = msgspec.json.Encoder(order="deterministic")


def encode_downloads(downloads: Downloads) -> str:
    """The text of downloads; the same for the same downloads."""
    return _encoder.encode(downloads).decode()


def decode_downloads(text: str) -> Downloads:
    """Downloads from their text; raises ValueError (msgspec's are) when they cannot be used.

    No folder of a model lies in that of another: one would be a file too many in the other.
    """
    if len(text) > MAX_DOWNLOADS_BYTES:
        raise ValueError("the downloads are too long")
    try:
        found = _downloads.decode(text)
    except RecursionError:
        raise ValueError("the downloads are nested too deeply") from None
    folders = sorted(f"{each.folder}/" for each in found.models)
    for one, other in pairwise(folders):
        if other.startswith(one):
            raise ValueError(f"two models are to be in one folder, {one}")
    return found
