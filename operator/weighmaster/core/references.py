"""Model references: from the spellings manifests use to one canonical form.

Canonical forms (DESIGN section 1, corpus README):

    hf://org/name[@revision][#file]     modelscope://org/name[@revision][#file]
    oci://registry/repository[:tag][@digest]
    s3:// gs:// tos:// https:// http:// az:// ...   as they are, path checked
    pvc://claim[/path]                  hostpath:///path
    ollama://name:tag                   ngc://, kaggle://, nim:<image>, aim:<image>
    image-embedded:<image>[#path]
    kaito-preset://name                 kserve-storage://key/path

A reference that could be read in two ways (``..``, control characters, backslashes, percent
escapes of separators) is never guessed at: it becomes ``unresolved:``.
"""

import re
from functools import lru_cache
from posixpath import normpath

from msgspec import structs

from weighmaster.core.values import ModelReference

MAX_LENGTH = 2048
"""Characters; the longest object key any store allows is 1,024 bytes."""

MAX_IMAGE_NAME = 1024
"""Characters; a host has 253, a repository 255, a tag 128 and a digest 71 of them."""

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_REPOSITORY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}\Z")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_ESCAPED_SEPARATOR = re.compile(r"%(2[ef]|5c|00|25)", re.IGNORECASE)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
"""What an image's name may be made of; whether there can be such an image, its registry says."""

_SECRET = re.compile(
    r"(://)[^/?#@\s]{1,512}(?=@)|((?:bearer|basic|token|password|secret|api[-_]?key)[=: ]\s{0,4})"
    r"[^\s\"']{4,512}|\bhf_[A-Za-z0-9]{16,}",
    re.IGNORECASE,
)
"""Passwords of URLs, and tokens, in commands and addresses that are shown to people."""
_DEFAULT_PORTS = {"http": ("", "80"), "https": ("", "443")}
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

_SIGNED = re.compile(
    r"(?:^|&)(?:sig|sas|token|key|x-amz-|x-goog-|signature|se|sp|sv)", re.IGNORECASE
)

_SPECIAL_REVISION = re.compile(r"([^/@:]+/[^/@:]+)[@:](refs/(?:pr|convert)/[^/@:]+)(?:/(.+))?")
"""Revisions with slashes of their own: pull requests and conversions (huggingface_hub)."""

_SCHEME_SPELLINGS = {
    "huggingface": "hf",
    "gcs": "gs",
    "host": "hostpath",
    "ms": "modelscope",
    "oci+native": "oci",
    "oci+fetch": "oci",
    "docker": "oci",
}

CASE_FOLDED_SCHEMES = frozenset({"hf", "modelscope", "ollama", "kaggle", "ngc", "oci"})
"""Schemes whose hubs treat two spellings that differ in case as one name."""


def unresolved(detail: str) -> ModelReference:
    """Weights that the manifest names in a way that cannot be resolved from it."""
    return _unnamed("unresolved", detail)


def dynamic(runtime: str) -> ModelReference:
    """Weights chosen after the start, over the runtime's API."""
    return _unnamed("dynamic", runtime)


def default(runtime: str) -> ModelReference:
    """The model that a runtime loads when it is told nothing."""
    return _unnamed("default", runtime)


def image_embedded(text: str) -> ModelReference:
    """Weights inside a container image, ``image[#path]``; pinned if the image is.

    Whatever is no image's name, such as a variable, has no version either: nothing can be found
    out about it.
    """
    image, _, path = text.partition("#")
    if len(image) > MAX_IMAGE_NAME:
        return _unnamed("image-embedded", f"over-long name in {image[:200]}")
    if not _is_image_name(image):
        return _unnamed("image-embedded", text)
    named, path = _image(image, "image-embedded"), _clip(path)
    whole = f"{named.canonical}#{path}" if path else named.canonical
    return structs.replace(named, canonical=whole, file=path or None, known=False)


def names_image(reference: ModelReference) -> bool:
    """Whether weights inside a container image are inside one that can be looked at."""
    _, _, image = reference.location.partition(":")
    return reference.scheme == "image-embedded" and _is_image_name(image)


def unexpanded(reference: ModelReference) -> ModelReference:
    """A reference that still holds a variable, such as ``gs://$(BUCKET)/m``: named, not known."""
    return structs.replace(reference, pinned=False, known=False)


def named_by(group: str, kind: str, name: str) -> ModelReference:
    """Weights that another object names."""
    return _unnamed("ref", f"{group}/{kind}/{name}")


def hugging_face(
    repository: str, revision: str | None = None, file: str | None = None
) -> ModelReference:
    """A repository on the Hugging Face hub (or a mirror of it), ``org/name``."""
    return _hub("hf", repository, revision, file)


def modelscope(
    repository: str, revision: str | None = None, file: str | None = None
) -> ModelReference:
    """A repository on ModelScope, ``org/name``."""
    return _hub("modelscope", repository, revision, file)


def is_repository_name(text: str) -> bool:
    """Whether ``text`` has the form ``org/name`` of a hub repository."""
    organisation, slash, name = text.partition("/")
    return bool(
        slash
        and len(text) <= 192
        and _REPOSITORY_NAME.match(organisation)
        and _REPOSITORY_NAME.match(name)
    )


def is_revision(text: str) -> bool:
    """Whether ``text`` could be a branch, tag or commit: no spaces, brackets or variables."""
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}", text))


def image(text: str, scheme: str = "oci") -> ModelReference:
    """An OCI artifact or container image, tag and digest kept.

    ``scheme`` is ``oci`` (``oci://registry/repository``) or one of the bare prefixes ``nim`` and
    ``aim`` (``nim:registry/repository``). A port is not a tag: ``registry:443/x`` has none.
    """
    if len(text) > MAX_LENGTH:
        return unresolved(f"over-long name in {text[:200]}")
    return _image(text, scheme)


@lru_cache(maxsize=4096)
def _image(text: str, scheme: str) -> ModelReference:
    problem = _problem(text)
    if problem is None and not text.isascii():
        problem = "characters beyond ASCII"
    if problem:
        return unresolved(f"{problem} in {text}")
    name, _, digest = text.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    prefix = f"{scheme}://" if scheme == "oci" else f"{scheme}:"
    return ModelReference(
        canonical=prefix + text,
        scheme=scheme,
        location=prefix + head,
        revision=digest or tag or None,
        pinned=bool(_DIGEST.match(digest)),
    )


def _is_image_name(text: str) -> bool:
    return (
        len(text) <= MAX_IMAGE_NAME
        and _IMAGE.fullmatch(text) is not None
        and _problem(text) is None
    )


def volume_claim(claim: str, path: str = "") -> ModelReference:
    """A path on a PersistentVolumeClaim; what lies there can change at any time."""
    return _rooted("pvc", claim, path)


def host_path(path: str) -> ModelReference:
    """A path on the node."""
    if path[:1] in ("<", "$", "{"):  # a placeholder for a whole path
        return unexpanded(_rooted("hostpath", path.partition("/")[0], path.partition("/")[2]))
    return _rooted("hostpath", "", path)


def parse(text: str) -> ModelReference:
    """Read a reference that carries a scheme; anything else is ``unresolved:``."""
    text = text.strip()
    if len(text) > MAX_LENGTH:
        return unresolved(f"over-long name in {text[:200]}")
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> ModelReference:
    match = _SCHEME.match(text)
    if not match:
        return unresolved(text)
    spelling = match[1].lower()
    scheme = _SCHEME_SPELLINGS.get(spelling, spelling)
    rest = text[match.end() :]
    if "$" in rest or "<" in rest:
        return unexpanded(_parse_scheme(scheme, rest, text))
    return _parse_scheme(scheme, rest, text)


def _parse_scheme(scheme: str, rest: str, text: str) -> ModelReference:
    if scheme in ("hf", "modelscope"):
        return _parse_hub(scheme, rest)
    if scheme == "oci":
        return image(rest.rstrip("/"))
    if scheme == "pvc":
        claim, _, path = rest.partition("/")
        return volume_claim(claim, path)
    if scheme == "hostpath":
        return host_path(rest)
    if problem := _problem(rest):
        return unresolved(f"{problem} in {text}")
    if scheme in ("http", "https"):
        rest = _normalized(scheme, _without_secrets(rest))
        if problem := _problem(rest) or _host_problem(rest):
            return unresolved(f"{problem} in {text}")
    canonical = f"{scheme}://{rest}"
    if scheme == "ollama":
        head, colon, tag = canonical.rpartition(":")
        if colon and "/" not in tag:
            return ModelReference(canonical, scheme, location=head, revision=tag or None)
    return ModelReference(canonical=canonical, scheme=scheme, location=canonical)


def _without_secrets(rest: str) -> str:
    """A URL without its user and password, and without a query that signs it.

    The host ends at the first of ``/``, ``?`` and ``#`` (RFC 3986 section 3.2): what comes after
    an ``@`` further on is none.
    """
    authority, rest = _split(rest)
    path, question, query = rest.partition("?")
    if question and not _SIGNED.search(query):
        path = f"{path}?{query}"
    return f"{authority.rpartition('@')[2]}{path}"


def _split(rest: str) -> tuple[str, str]:
    """The authority of a URL without its scheme, and what follows."""
    end = next((at for at, character in enumerate(rest) if character in "/?#"), len(rest))
    return rest[:end], rest[end:]


def _normalized(scheme: str, rest: str) -> str:
    """A URL without its scheme as RFC 3986 section 6.2 has it: two spellings of it are one."""
    authority, path = _split(rest)
    host, colon, port = authority.lower().partition(":")
    if port in _DEFAULT_PORTS[scheme]:
        colon = port = ""
    return f"{host.rstrip('.')}{colon}{port}{_ENCODED.sub(_unescaped, path)}"


def _host_problem(rest: str) -> str | None:
    """Why different programs may take different hosts out of a URL: they read these differently."""
    authority, _ = _split(rest)
    if not authority.isascii():
        return "host beyond ASCII"
    if "%" in authority or "@" in authority or not authority:
        return "host that is not plain"
    return None


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    plain = character.isascii() and (character.isalnum() or character in "-._~")
    return character if plain else match[0].upper()


def _parse_hub(scheme: str, rest: str) -> ModelReference:
    """``org/name``, then a revision after ``@`` (hub) or ``:`` (KServe), then a file."""
    name, _, file = rest.partition("#")
    name = name.strip("/")
    if special := _SPECIAL_REVISION.fullmatch(name):
        return _hub(scheme, special[1], special[2], file or special[3])
    parts = name.split("/", 2)
    if len(parts) == 3:
        name, file = f"{parts[0]}/{parts[1]}", file or parts[2]
    for separator in "@:":
        if separator in name:
            name, _, revision = name.partition(separator)
            if ":" in name or "@" in revision or ":" in revision:
                return unresolved(f"two versions in {scheme}://{rest}")
            return _hub(scheme, name, revision, file or None)
    return _hub(scheme, name, None, file or None)


def _hub(scheme: str, repository: str, revision: str | None, file: str | None) -> ModelReference:
    if len(repository) + len(revision or "") + len(file or "") > MAX_LENGTH:
        return unresolved(f"over-long name in {scheme}://{repository[:200]}")
    return _known_hub(scheme, repository, revision, file)


@lru_cache(maxsize=4096)
def _known_hub(
    scheme: str, repository: str, revision: str | None, file: str | None
) -> ModelReference:
    whole = repository + (f"@{revision}" if revision else "") + (f"#{file}" if file else "")
    problem = _problem(whole)
    if problem is None and not whole.isascii():
        # Hubs allow none; whoever writes them wants a name to look like another.
        problem = "characters beyond ASCII"
    if problem is None and "%" in f"{repository}{revision}":
        # Hubs allow none in names; who pastes them into URLs would be served another name's.
        problem = "escape"
    if problem:
        return unresolved(f"{problem} in {scheme}://{whole}")
    location = f"{scheme}://{repository}"
    return ModelReference(
        canonical=f"{scheme}://{whole}",
        scheme=scheme,
        location=location,
        revision=revision or None,
        file=file or None,
        pinned=bool(revision and _COMMIT.match(revision)),
    )


def _rooted(scheme: str, root: str, path: str) -> ModelReference:
    if problem := _problem(root + path, traversal=False):
        return unresolved(f"{problem} in {scheme}://{root}/{path}")
    below = normpath("/" + path.lstrip("/")) if path else ""
    canonical = f"{scheme}://{root}{'' if below == '/' and root else below}"
    return ModelReference(canonical=canonical, scheme=scheme, location=canonical)


def _unnamed(scheme: str, detail: str) -> ModelReference:
    canonical = f"{scheme}:{_clip(detail)}"
    return ModelReference(canonical=canonical, scheme=scheme, location=canonical, known=False)


def _clip(text: str) -> str:
    """Keep ``text`` printable and short: it ends up in messages and logs.

    A character beyond ASCII is spelt out, because it may look like another.
    """
    text = _without_tokens(text[:512])[:256]
    if not text.isascii():
        text = _BEYOND_ASCII.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)[:512]
    return _FORBIDDEN.sub(" ", text).strip()


@lru_cache(maxsize=1024)
def _without_tokens(text: str) -> str:
    return _SECRET.sub(_masked, text)


def _masked(match: re.Match[str]) -> str:
    return f"{match[1] or match[2] or ''}***"


def _problem(text: str, *, traversal: bool = True) -> str | None:
    if len(text) > MAX_LENGTH:
        return "over-long name"
    if _FORBIDDEN.search(text):
        return "control character or backslash"
    if "%" in text and _ESCAPED_SEPARATOR.search(text):
        return "escaped separator"
    if traversal and "." in text and any(part in ("..", ".") for part in re.split(r"[/@#]", text)):
        return "path traversal"
    return None
