"""Tools that copy files: from the web, from buckets, from one volume to another."""

import re

from weighmaster.core import references
from weighmaster.core.detect import naming
from weighmaster.core.detect.invocation import Invocation
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.volumes import Download, tentative
from weighmaster.core.values import ModelReference

_WEIGHTY = re.compile(
    r"model|weight|checkpoint|ckpt|lora|adapter|gguf|ggml|safetensors|onnx|\.pth?\b|\.pkl|\.mar\b|"
    r"engine|llama|qwen|mistral|whisper|bert|\.tflite|\.h5\b",
    re.IGNORECASE,
)
REMOTE = re.compile(
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


def flags(invocation: Invocation, valued: frozenset[str]) -> tuple[dict[str, list[str]], list[str]]:
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


def first(options: dict[str, list[str]], *names: str) -> str:
    """The value of the first of ``names`` that is given."""
    for name in names:
        if options.get(name):
            return options[name][-1]
    return ""


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


def copies(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
    """Copying tools: ``aws s3 cp``, ``gsutil``, ``gcloud storage``, ``wget``, ``curl``."""
    del place
    program = invocation.program
    valued = _COPY_VALUED - _SWITCHES.get(program, frozenset())
    options, positionals = flags(invocation, valued)
    words = list(positionals)
    for name in ("source", "file"):
        words += options.get(name, [])
    remote = [
        (index, word) for index, word in enumerate(words)
        if REMOTE.match(word.strip("\"'")) or (program in ("rclone", "mc") and ":" in word)
    ]  # fmt: skip
    if program == "mc":
        remote = [(i, w) for i, w in enumerate(words) if i > 0 and "/" in w and w[:1] not in "/."]
        remote = remote[:1]
    if not remote:
        return []
    local = [word for index, word in enumerate(words) if index > remote[0][0]]
    destination = local[-1] if local and program not in ("wget", "curl") else ""
    destination = destination or first(
        options, "O", "output-document", "o", "output", "P", "directory-prefix", "output-dir",
        "dest", "destination", "d",
    )  # fmt: skip
    if program in ("aws", "gsutil", "gcloud", "s5cmd", "azcopy", "rclone") and not local:
        return []
    if local and REMOTE.match(local[-1]):
        return []  # from one store to another
    unchecked = program in ("wget", "curl") and _is_unchecked(invocation.words)
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
        if _NOT_WEIGHTS.search(url) and not _on_hub(url):
            continue
        if unchecked and url.startswith("https://"):
            url = f"http://{url[8:]}"
        reference = naming.hub_url(url) or references.parse(url)
        one = made(loose(reference, url), destination, path, f"{program} download")
        one.role = "" if _WEIGHTY.search(text) or _on_hub(url) else "generic"
        found.append(one)
    return found


def _on_hub(url: str) -> bool:
    """Whether it is the address of a repository on a hub, with or without TLS."""
    secure = f"https://{url[7:]}" if url.startswith("http://") else url
    return naming.hub_url(secure) is not None


def _is_unchecked(words: list[str]) -> bool:
    """Whether ``curl`` or ``wget`` is told to believe anybody who answers."""
    return any(_UNCHECKED.match(word) for word in words)


_UNCHECKED = re.compile(
    r"--insecure\Z|--no-check-certificate\Z|--(?:cacert|capath|ca-certificate|ca-directory)(?:=|\Z)|"
    r"--config(?:=|\Z)|-(?:[fsSLgOJNqvi#0-9]*)[kK]"
)
"""Options without which the host's certificate would be asked for, or that nobody can see into."""


def _asks(url: str, options: dict[str, list[str]]) -> bool:
    """Whether a request is a question to a service rather than a download."""
    if _WEIGHT_FILE.search(url) or _on_hub(url):
        return False
    if not url.startswith(("http://", "https://")) or "$" in url:
        return False
    if not _SENDING.isdisjoint(options):
        return True
    host = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    name, colon, _ = host.partition(":")
    return bool(colon) or "." not in name or ".svc" in name or url.startswith("http://")


_STORES = frozenset({"gs", "s3", "tos", "az"})
"""Volumes that show a bucket: copying weights out of one is a download."""


_OWN_ROOT = re.compile(r"/proc/\$\{\$\}/root(?=/|\Z)")
"""The container's own file system as other containers see it, where they share processes. A link
to it is how KServe's modelcar shows the weights in its image (``CreateModelcarContainer``)."""


def spread(invocation: Invocation, place: naming.Place, path: Path) -> list[Download]:
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
        own = _OWN_ROOT.match(source) if place.volumes.processes_shared else None
        if own is not None:
            source = source[own.end() :] or "/"
        location = place.volumes.locate(place.container, source)
        if location is None:
            if own is not None and invocation.program == "ln":
                shown = [references.image(place.container.image)]
                shown += place.volumes.resolve(place.container, source)
                found += [made(each, destination, path, "modelcar") for each in shown]
            continue
        kept = place.volumes.locate(place.container, destination) is not None
        for reference in place.volumes.resolve(place.container, source):
            stored = reference.scheme in _STORES and bool(_WEIGHTY.search(source))
            if not kept and not stored:
                continue
            one = made(reference, destination, path, "copy")
            one.role = "" if stored else "generic"
            found.append(one)
    return found


def made(reference: ModelReference, destination: str, path: Path, reason: str) -> Download:
    """A download, its destination without quotes."""
    return Download(reference, destination.strip("\"'"), path, reason)


def loose(reference: ModelReference, spelling: str) -> ModelReference:
    """``reference``, not known if its spelling still holds a variable."""
    return tentative(reference, spelling)
