"""Commands that fetch weights: what they fetch, and where they put it."""

import json
import re
from collections.abc import Callable
from functools import lru_cache

from weighmaster.core import references
from weighmaster.core.detect import naming
from weighmaster.core.detect.copying import REMOTE, copies, first, flags, loose, made, spread
from weighmaster.core.detect.environment import Environment, has_variable, is_variable
from weighmaster.core.detect.invocation import Invocation
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.volumes import Download
from weighmaster.core.staged import MODELS, VARIABLE, decode_downloads

Maker = Callable[[Invocation, naming.Place, Path], list[Download]]


_HUB_VALUED = frozenset(
    {"local-dir", "revision", "repo-type", "token", "cache-dir", "include", "exclude", "local_dir",
     "o", "model", "output", "max-workers", "repo-id", "hf-token", "F", "E", "s", "b", "dest"}
)  # fmt: skip


def _hub(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """``hf download``, ``huggingface-cli download``, ``hfdownloader``, ``modelscope download``."""
    words = invocation.words
    start = next((i for i, word in enumerate(words[:6]) if word == "download"), None)
    if start is None:
        return []
    program = invocation.program
    copy = _slice(invocation, start + 1)
    options, positionals = flags(copy, _HUB_VALUED)
    if first(options, "repo-type", "dataset") in ("dataset", "space") or "dataset" in options:
        return []
    name = first(options, "model", "repo-id", "m") or (positionals[0] if positionals else "")
    if not name:
        return [made(references.unresolved(f"{program} download"), "", path, program)]
    scope = place.environment.origin_of(name)
    destination = first(options, "local-dir", "output", "o", "cache-dir", "s")
    if scope is not None:
        reference = references.unresolved(scope)
    elif program.startswith("modelscope"):
        reference = references.modelscope(name, first(options, "revision") or None)
    elif naming.has_scheme(name):
        reference = references.parse(name)
    else:
        files = positionals[1:] if len(positionals) == 2 else []
        file = files[0] if files else None
        reference = references.hugging_face(name, first(options, "revision") or None, file)
    return [made(loose(reference, name), destination, path, f"{program} download")]


def _ollama(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    words = [word for word in invocation.words if word[:1] != "-"]
    if len(words) < 2 or words[0] not in ("pull", "run", "create", "cp"):
        return []
    value = words[1]
    if words[0] == "create":
        return [made(references.unresolved(f"ollama create {value}"), "", path, "ollama create")]
    found = naming.read(value, "ollama", place)
    return [made(reference, "ollama:", path, f"ollama {words[0]}") for reference in found]


_UNCHECKED_GIT = re.compile(
    r"http\.(?:\S{1,200}\.)?(?:sslVerify=(?:false|0|no|off)?(?:\s|$)|sslCA|proxySSLCA)"
    r"|url\.\S{1,200}\.insteadOf",
    re.IGNORECASE,
)
"""Settings with which anybody on the way, or another host, may answer for a hub."""


def _git(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    del place
    words = invocation.words
    if "clone" not in words and "pull" not in words and "fetch" not in words:
        return []
    options, positionals = flags(
        invocation, frozenset({"depth", "b", "branch", "C", "c", "o", "origin", "j", "filter"})
    )
    unchecked = _UNCHECKED_GIT.search(" ".join(words[:40])) is not None
    found = []
    for index, word in enumerate(positionals):
        insecure = unchecked
        url = re.sub(r"://[^@/?#]*@", "://", word)
        reference = naming.hub_url(url)
        if reference is None and url.startswith("http://"):
            insecure, url = True, f"https://{url[7:]}"
            reference = naming.hub_url(url)
        if reference is None:
            continue
        if insecure:
            found.append(made(references.parse(f"http{url[5:]}"), "", path, "git clone"))
            continue
        destination = positionals[index + 1] if index + 1 < len(positionals) else ""
        branch = first(options, "b", "branch")
        if branch and reference.known:
            make = references.hugging_face if reference.scheme == "hf" else references.modelscope
            reference = make(reference.location.partition("://")[2], branch)
        destination = destination or reference.location.rpartition("/")[2]
        found.append(made(loose(reference, url), destination, path, "git clone"))
    return found


def _kit(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """``kit pull``/``kit unpack``, ``oras pull``, ``modctl pull``: OCI artifacts."""
    if not set(invocation.words[:3]) & {"pull", "unpack", "copy", "cp", "fetch", "extract"}:
        return []
    options, positionals = flags(
        invocation,
        frozenset({"d", "dir", "o", "output", "u", "username", "p", "password", "extract-dir",
                   "plain-http-x", "registry-config", "platform"}),
    )  # fmt: skip
    names = [word for word in positionals[1:] if word not in ("fetch", "pull")]
    if not names:
        return []
    value = names[0]
    origin = place.environment.origin_of(value)
    if origin is not None:
        reference = references.unresolved(origin)
    elif has_variable(value) and is_variable(value):
        reference = references.unresolved(value)
    else:
        reference = references.image(value.removeprefix("oci://"))
    destination = first(options, "d", "dir", "o", "output", "extract-dir")
    return [made(loose(reference, value), destination, path, f"{invocation.program} pull")]


def _configured(config: str) -> str:
    """The revision in AIBrix' ``DownloadExtraConfig``, which outranks ``HF_REVISION``."""
    try:
        revision = json.loads(config[:4096]).get("hf_revision") if config else None
    except (ValueError, AttributeError, RecursionError):
        return ""
    return revision if isinstance(revision, str) else ""


def _aibrix(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    options, _ = flags(
        invocation, frozenset({"model-uri", "local-dir", "model-name", "download-extra-config"})
    )
    value = first(options, "model-uri")
    found = naming.read(value, "hub", place) if value else []
    revision = _configured(first(options, "download-extra-config"))
    revision = revision or place.environment.values.get("HF_REVISION", "")
    destination = first(options, "local-dir")
    kept = []
    for each in found or [references.unresolved("aibrix_download")]:
        reference = each
        if each.scheme == "hf" and revision and references.is_revision(revision):
            reference = references.hugging_face(each.location[5:], revision)
        kept.append(made(reference, destination, path, "aibrix download"))
    return kept


def _fetcher(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """Downloader images that take ``--source`` and ``--output-dir`` (kthena and the like)."""
    options, _ = flags(invocation, frozenset({"source", "output-dir", "config", "s", "o"}))
    value = first(options, "source", "s")
    destination = first(options, "output-dir", "o")
    found = naming.read(value, "hub", place) if value else []
    return [made(reference, destination, path, "downloader") for reference in found]


def _kaggle(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    words = invocation.words
    if words[:1] != ["models"] or "download" not in words:
        return []
    after = words[words.index("download") + 1 :]
    value = next((word for word in after if word[:1] != "-"), "")
    origin = place.environment.origin_of(value)
    if not value:
        return []
    if origin is not None:
        return [made(references.unresolved(origin), "", path, "kaggle download")]
    return [made(loose(references.parse(f"kaggle://{value}"), value), "", path, "kaggle download")]


def _initializer(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """The storage initializers of KServe and Seldon: pairs of a URI and a directory."""
    return pairs([invocation.path, *invocation.words], place, lambda _: path)


MAX_PAIRS = 300
"""Downloads of one storage initializer that are read: more than a pod may have."""

_TOOLS: dict[str, Maker] = {
    "hf": _hub, "huggingface-cli": _hub, "hfdownloader": _hub, "modelscope": _hub,
    "huggingface_hub.commands.huggingface_cli": _hub, "modelscope.cli.cli": _hub,
    "hfd.sh": _hub, "huggingface_hub.cli.hf": _hub,
    "ollama": _ollama, "git": _git, "git-lfs": _git, "kit": _kit, "oras": _kit, "modctl": _kit,
    "aws": copies, "gsutil": copies, "gcloud": copies, "s5cmd": copies, "s3cmd": copies,
    "azcopy": copies, "rclone": copies, "wget": copies, "curl": copies, "aria2c": copies,
    "axel": copies, "mc": copies, "ossutil": copies, "ossutil64": copies, "az": copies,
    "obsutil": copies, "tosutil": copies, "coscli": copies, "awscli": copies,
    "aibrix_download": _aibrix, "aibrix.downloader": _aibrix, "kaggle": _kaggle,
    "model-downloader": _fetcher,
    "storage-initializer": _initializer, "initializer-entrypoint": _initializer,
    "cp": spread, "rsync": spread, "mv": spread, "ln": spread,
}  # fmt: skip


def read(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """What a command fetches, if it is a downloader."""
    maker = _TOOLS.get(invocation.program)
    return maker(invocation, place, path) if maker is not None else []


def is_downloader(program: str) -> bool:
    """Whether a program is one that fetches."""
    return program in _TOOLS


def pairs(words: list[str], place: naming.Place, path_of: Callable[[int], Path]) -> list[Download]:
    """Alternating URIs and destinations, as storage initializers take them."""
    found: list[Download] = []
    index = 0
    while index < len(words) and len(found) <= MAX_PAIRS:
        word = words[index]
        if REMOTE.match(word) or word.startswith(("pvc://", "ollama://", "kaggle://")):
            destination = words[index + 1] if index + 1 < len(words) else ""
            found += [
                made(reference, destination, path_of(index), "storage initializer")
                for reference in naming.read(word, "hub", place)
            ]
            index += 1
        index += 1
    return found


def _slice(invocation: Invocation, start: int) -> Invocation:
    return Invocation(
        invocation.path, invocation.words[start:], invocation.origins[start:],
        invocation.environment,
    )  # fmt: skip


_ENTRYPOINTS = (
    (re.compile(r"(?:^|/)(?:kitops|kit)(?::|@|\Z)"), "kit"),
    (re.compile(r"(?:^|/)oras(?::|@|\Z)"), "oras"),
    (re.compile(r"aws-cli(?::|@|\Z)"), "aws"),
    (re.compile(r"(?:^|/)curl(?::|@|\Z)"), "curl"),
    (re.compile(r"alpine/git(?::|@|\Z)|/git-clone"), "git"),
    (re.compile(r"(?:^|/)rclone(?::|@|\Z)"), "rclone"),
    (re.compile(r"s5cmd(?::|@|\Z)"), "s5cmd"),
    (re.compile(r"(?:^|/)(?:model-)?downloader(?::|@|\Z)"), "model-downloader"),
    (re.compile(r"minio/mc(?::|@|\Z)"), "mc"),
)


def entrypoint(image: str) -> str | None:
    """The downloader that an image runs when it is given arguments only."""
    return _entrypoint(image[:1000])


@lru_cache(maxsize=2048)
def _entrypoint(image: str) -> str | None:
    return next((program for pattern, program in _ENTRYPOINTS if pattern.search(image)), None)


def modelkit(place: naming.Place, path: Path) -> Download | None:
    """KitOps' init container: the artifact in ``MODELKIT_REF``, its place in ``UNPACK_PATH``."""
    value = place.environment.get("MODELKIT_REF")
    if not value:
        return None
    origin = place.environment.origin_of(value)
    reference = references.unresolved(origin) if origin else references.image(value)
    return made(
        loose(reference, value), place.environment.get("UNPACK_PATH"),
        place.environment.path("MODELKIT_REF", path), "MODELKIT_REF",
    )  # fmt: skip


def staging(environment: Environment, path: Path) -> list[Download]:
    """What Weighmaster's own container is told to download, and where to."""
    try:
        told = decode_downloads(environment.values.get(VARIABLE, ""))
    except ValueError:
        return []
    field = environment.path(VARIABLE, path)
    return [
        made(references.parse(each.reference), f"{MODELS}/{each.folder}", field, "staged download")
        for each in told.models
    ]
