"""Commands that fetch weights: what they fetch, and where they put it."""

import re
from collections.abc import Callable
from functools import lru_cache

from weighmaster.core import references
from weighmaster.core.detect import naming
from weighmaster.core.detect.command import Invocation
from weighmaster.core.detect.environment import has_variable, is_variable
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.volumes import Download, tentative
from weighmaster.core.values import ModelReference

_WEIGHTY = re.compile(
    r"model|weight|checkpoint|ckpt|lora|adapter|gguf|ggml|safetensors|onnx|\.pth?\b|\.pkl|\.mar\b|"
    r"engine|llama|qwen|mistral|whisper|bert|\.tflite|\.h5\b",
    re.IGNORECASE,
)
_REMOTE = re.compile(
    r"(?:s3|gs|gcs|tos|oss|obs|cos|az|wasbs?|abfss?|https?|hf|oci|ftp|rsync|swift|modelscope|"
    r"azureml|kitops)://"
)
_NOT_WEIGHTS = re.compile(
    r"\.(?:py|sh|json|ya?ml|txt|md|whl|deb|rpm|csv|parquet|jsonl|sql|html|js|conf|pub|key|zip|jinja2?|tmpl)"
    r"(?:[?#].*)?\Z|/archive/|raw\.githubusercontent|get-pip|/install(?:er)?(?:\.sh)?\Z|/health|"
    r"localhost|127\.0\.0\.1|/v1/|/api/|/metrics|datasets?/|status|/ready",
    re.IGNORECASE,
)

_WEIGHT_FILE = re.compile(
    r"\.(?:gguf|ggml|safetensors|bin|pth?|pkl|joblib|onnx|tflite|h5|mar|ckpt|engine|model|pmml|bst|"
    r"npz|pb|zip|tgz|tar(?:\.\w{2,4})?|gz|zst)(?:[?#].*)?\Z",
    re.IGNORECASE,
)
_SENDING = frozenset({"d", "data", "X", "request", "T", "upload-file", "F", "form", "data-raw",
                      "json", "post-data", "data-binary", "post-file", "method"})  # fmt: skip
"""Options of ``curl`` and ``wget`` that ask a service something."""

Maker = Callable[[Invocation, naming.Place, Path], list[Download]]


def _flags(
    invocation: Invocation, valued: frozenset[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Options (name to values) and positional words of a command."""
    options: dict[str, list[str]] = {}
    positionals: list[str] = []
    words = invocation.words
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word[:1] != "-" or len(word) == 1:
            positionals.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("_", "-")
        if equals:
            options.setdefault(name, []).append(value)
        elif name in valued and index < len(words):
            options.setdefault(name, []).append(words[index])
            index += 1
        else:
            options.setdefault(name, []).append("")
    return options, positionals


def _first(options: dict[str, list[str]], *names: str) -> str:
    for name in names:
        if options.get(name):
            return options[name][-1]
    return ""


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
    options, positionals = _flags(copy, _HUB_VALUED)
    if _first(options, "repo-type", "dataset") in ("dataset", "space") or "dataset" in options:
        return []
    name = _first(options, "model", "repo-id", "m") or (positionals[0] if positionals else "")
    if not name:
        return [_made(references.unresolved(f"{program} download"), "", path, program)]
    scope = place.environment.origin_of(name)
    destination = _first(options, "local-dir", "output", "o", "cache-dir", "s")
    if scope is not None:
        reference = references.unresolved(scope)
    elif program.startswith("modelscope"):
        reference = references.modelscope(name, _first(options, "revision") or None)
    elif naming.has_scheme(name):
        reference = references.parse(name)
    else:
        files = positionals[1:] if len(positionals) == 2 else []
        file = files[0] if files else None
        reference = references.hugging_face(name, _first(options, "revision") or None, file)
    return [_made(_loose(reference, name), destination, path, f"{program} download")]


def _ollama(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    words = [word for word in invocation.words if word[:1] != "-"]
    if len(words) < 2 or words[0] not in ("pull", "run", "create", "cp"):
        return []
    value = words[1]
    if words[0] == "create":
        return [_made(references.unresolved(f"ollama create {value}"), "", path, "ollama create")]
    found = naming.read(value, "ollama", place)
    return [_made(reference, "ollama:", path, f"ollama {words[0]}") for reference in found]


_COPY_VALUED = frozenset(
    {"endpoint-url", "region", "profile", "exclude", "include", "m", "j", "o", "O", "P", "output",
     "output-document", "directory-prefix", "output-dir", "H", "header", "u", "user", "config",
     "t", "transfers", "retry", "connect-timeout", "max-time", "C", "d", "s", "l", "pattern",
     "source", "dest", "destination", "no-sign-request-x", "f", "file", "account-name", "n", "name",
     "c", "container-name", "account-key", "sas-token", "auth-mode", "x",
     "max-concurrent-downloads"}
)  # fmt: skip
_SWITCHES = {
    "wget": frozenset({"c", "d", "x", "m", "r", "n", "nc", "nv", "q", "l"}),
    "curl": frozenset({"f", "s", "l", "L", "O", "C", "c", "x", "n"}),
    "gsutil": frozenset({"m", "o", "d", "c", "n", "x", "u"}),
    "aws": frozenset({"m", "c", "n"}),
    "oras": frozenset({"c"}),
}


def _copies(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """Copying tools: ``aws s3 cp``, ``gsutil``, ``gcloud storage``, ``wget``, ``curl``."""
    del place
    program = invocation.program
    valued = _COPY_VALUED - _SWITCHES.get(program, frozenset())
    options, positionals = _flags(invocation, valued)
    words = list(positionals)
    for name in ("source", "file"):
        words += options.get(name, [])
    remote = [
        (index, word) for index, word in enumerate(words)
        if _REMOTE.match(word.strip("\"'")) or (program in ("rclone", "mc") and ":" in word)
    ]  # fmt: skip
    if program == "mc":
        remote = [(i, w) for i, w in enumerate(words) if i > 0 and "/" in w and w[:1] not in "/."]
        remote = remote[:1]
    if not remote:
        return []
    local = [word for index, word in enumerate(words) if index > remote[0][0]]
    destination = local[-1] if local and program not in ("wget", "curl") else ""
    destination = destination or _first(
        options, "O", "output-document", "o", "output", "P", "directory-prefix", "output-dir",
        "dest", "destination", "d",
    )  # fmt: skip
    if program in ("aws", "gsutil", "gcloud", "s5cmd", "azcopy", "rclone") and not local:
        return []
    if local and _REMOTE.match(local[-1]):
        return []  # from one store to another
    found = []
    for _, word in remote[:50] if program in ("wget", "curl") else remote[:1]:
        url = word.strip("\"'").rstrip("*")
        if program == "rclone":
            url = f"rclone://{url.replace(':', '/')}" if "://" not in url else url
        elif program == "mc":
            url = f"s3://{url.partition('/')[2]}"
        text = f"{url} {destination}"
        if program in ("wget", "curl") and _asks(url, options):
            continue
        if _NOT_WEIGHTS.search(url) and not naming.hub_url(url):
            continue
        reference = naming.hub_url(url) or references.parse(url)
        made = _made(_loose(reference, url), destination, path, f"{program} download")
        made.role = "" if _WEIGHTY.search(text) or naming.hub_url(url) else "generic"
        found.append(made)
    return found


def _asks(url: str, options: dict[str, list[str]]) -> bool:
    """Whether a request is a question to a service rather than a download."""
    if _WEIGHT_FILE.search(url) or naming.hub_url(url):
        return False
    if not url.startswith(("http://", "https://")) or "$" in url:
        return False
    if not _SENDING.isdisjoint(options):
        return True
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    name, colon, _ = host.partition(":")
    return bool(colon) or "." not in name or ".svc" in name or url.startswith("http://")


def _git(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    del place
    words = invocation.words
    if "clone" not in words and "pull" not in words and "fetch" not in words:
        return []
    options, positionals = _flags(
        invocation, frozenset({"depth", "b", "branch", "C", "c", "o", "origin", "j", "filter"})
    )
    found = []
    for index, word in enumerate(positionals):
        url = re.sub(r"://[^@/]*@", "://", word)
        reference = naming.hub_url(url)
        if reference is None:
            continue
        destination = positionals[index + 1] if index + 1 < len(positionals) else ""
        branch = _first(options, "b", "branch")
        if branch and reference.known:
            make = references.hugging_face if reference.scheme == "hf" else references.modelscope
            reference = make(reference.location.partition("://")[2], branch)
        destination = destination or reference.location.rpartition("/")[2]
        found.append(_made(_loose(reference, url), destination, path, "git clone"))
    return found


def _kit(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """``kit pull``/``kit unpack``, ``oras pull``, ``modctl pull``: OCI artifacts."""
    if not set(invocation.words[:3]) & {"pull", "unpack", "copy", "cp", "fetch", "extract"}:
        return []
    options, positionals = _flags(
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
    destination = _first(options, "d", "dir", "o", "output", "extract-dir")
    return [_made(_loose(reference, value), destination, path, f"{invocation.program} pull")]


def _aibrix(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    options, _ = _flags(
        invocation, frozenset({"model-uri", "local-dir", "model-name", "download-extra-config"})
    )
    value = _first(options, "model-uri")
    found = naming.read(value, "hub", place) if value else []
    revision = place.environment.values.get("HF_REVISION", "")
    destination = _first(options, "local-dir")
    made = []
    for each in found or [references.unresolved("aibrix_download")]:
        reference = each
        if each.scheme == "hf" and revision and references.is_revision(revision):
            reference = references.hugging_face(each.location[5:], revision)
        made.append(_made(reference, destination, path, "aibrix download"))
    return made


def _fetcher(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """Downloader images that take ``--source`` and ``--output-dir`` (kthena and the like)."""
    options, _ = _flags(invocation, frozenset({"source", "output-dir", "config", "s", "o"}))
    value = _first(options, "source", "s")
    destination = _first(options, "output-dir", "o")
    found = naming.read(value, "hub", place) if value else []
    return [_made(reference, destination, path, "downloader") for reference in found]


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
        return [_made(references.unresolved(origin), "", path, "kaggle download")]
    return [
        _made(_loose(references.parse(f"kaggle://{value}"), value), "", path, "kaggle download")
    ]


def _initializer(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """The storage initializers of KServe and Seldon: pairs of a URI and a directory."""
    return pairs([invocation.path, *invocation.words], place, lambda _: path)


def _spread(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """``cp SOURCE... DESTINATION`` inside the container: what lay at the source lies there too."""
    positionals = [word for word in invocation.words if word[:1] != "-"]
    if len(positionals) < 2:
        return []
    destination = positionals[-1]
    found = []
    for word in positionals[:-1][:20]:
        if not word.startswith("/"):
            continue
        source = word.rstrip("*")
        location = place.volumes.locate(place.container, source)
        if location is None:
            continue
        kept = place.volumes.locate(place.container, destination) is not None
        for reference in place.volumes.resolve(place.container, source):
            stored = reference.scheme in _STORES and bool(_WEIGHTY.search(source))
            if not kept and not stored:
                continue
            made = _made(reference, destination, path, "copy")
            made.role = "" if stored else "generic"
            found.append(made)
    return found


_STORES = frozenset({"gs", "s3", "tos", "az"})
"""Volumes that show a bucket: copying weights out of one is a download."""

_TOOLS: dict[str, Maker] = {
    "hf": _hub, "huggingface-cli": _hub, "hfdownloader": _hub, "modelscope": _hub,
    "huggingface_hub.commands.huggingface_cli": _hub, "modelscope.cli.cli": _hub,
    "hfd.sh": _hub, "huggingface_hub.cli.hf": _hub,
    "ollama": _ollama, "git": _git, "git-lfs": _git, "kit": _kit, "oras": _kit, "modctl": _kit,
    "aws": _copies, "gsutil": _copies, "gcloud": _copies, "s5cmd": _copies, "s3cmd": _copies,
    "azcopy": _copies, "rclone": _copies, "wget": _copies, "curl": _copies, "aria2c": _copies,
    "axel": _copies, "mc": _copies, "ossutil": _copies, "ossutil64": _copies, "az": _copies,
    "obsutil": _copies, "tosutil": _copies, "coscli": _copies, "awscli": _copies,
    "aibrix_download": _aibrix, "aibrix.downloader": _aibrix, "kaggle": _kaggle,
    "model-downloader": _fetcher,
    "storage-initializer": _initializer, "initializer-entrypoint": _initializer,
    "cp": _spread, "rsync": _spread, "mv": _spread, "ln": _spread,
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
    found = []
    index = 0
    while index < len(words):
        word = words[index]
        if _REMOTE.match(word) or word.startswith(("pvc://", "ollama://", "kaggle://")):
            destination = words[index + 1] if index + 1 < len(words) else ""
            found += [
                _made(reference, destination, path_of(index), "storage initializer")
                for reference in naming.read(word, "hub", place)
            ]
            index += 1
        index += 1
    return found


def _made(reference: ModelReference, destination: str, path: Path, reason: str) -> Download:
    return Download(reference, destination.strip("\"'"), path, reason)


def _loose(reference: ModelReference, spelling: str) -> ModelReference:
    return tentative(reference, spelling)


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
    return _made(
        _loose(reference, value), place.environment.get("UNPACK_PATH"),
        place.environment.path("MODELKIT_REF", path), "MODELKIT_REF",
    )  # fmt: skip
