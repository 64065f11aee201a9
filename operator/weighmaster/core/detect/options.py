"""Reading command-line options against the table of a runtime."""

from functools import lru_cache

from msgspec import Struct

from weighmaster.core.detect.runtimes import STARTS
from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.values import Role

_ABBREVIATION = 4
"""Letters an abbreviated option needs; argparse takes any unique beginning."""

_NO_ABBREVIATIONS = frozenset(
    {"mode", "token", "tokens", "load", "rev", "max", "host", "port", "spec", "lora", "hf", "model",
     "tokenizer", "draft", "speculative", "config", "models", "trust"}
)  # fmt: skip
_SWITCH_PREFIXES = ("enable-", "disable-", "no-", "use-", "skip-", "allow-", "return-", "log-")
_FORMATS = frozenset({"load-format", "dtype-format"})
_PLAIN_LISTS = frozenset({"served-model-name", "middleware", "allowed-origins", "allowed-methods",
                          "allowed-headers", "cors-origins", "stop"})  # fmt: skip


class Option(Struct):
    """One option as written: ``value`` is ``None`` for a switch."""

    name: str
    value: str | None
    origin: int


class Scan(Struct):
    """A command line taken apart."""

    options: list[Option]
    positionals: list[tuple[str, int]]


def scan(words: list[str], origins: list[int], runtime: Runtime) -> Scan:  # noqa: PLR0912 - argparse has these cases
    """Split ``words`` into options and positional words, as argparse would."""
    found = Scan(options=[], positionals=[])
    options, positionals = found.options, found.positionals
    index, count = 0, len(words)
    lists, switches = runtime.lists, runtime.switches
    while index < count:
        word = words[index]
        if word[:1] != "-" or len(word) == 1:
            positionals.append((word, origins[index]))
            index += 1
            continue
        if word == "--":
            positionals.extend(zip(words[index + 1 :], origins[index + 1 :], strict=True))
            break
        name, equals, value = word.lstrip("-").partition("=")
        if " " in name and word[:2] == "--":  # several words that YAML made one
            words, origins = _apart(words, origins)
            count = len(words)
            continue
        if "_" in name:
            name = name.replace("_", "-")
        if "." in name:
            name = _member(name, runtime)
        origin = origins[index]
        index += 1
        if equals:
            options.append(Option(name, value, origin))
            if name not in lists:
                continue
        if name in lists or name in _PLAIN_LISTS:
            while index < count and words[index][:1] != "-":
                options.append(Option(name, words[index], origins[index]))
                index += 1
            continue
        if name in switches or name.startswith(_SWITCH_PREFIXES):
            value_next = words[index].lower() if index < count else ""
            if value_next in ("true", "false", "1", "0") or value_next[:1] == "$":
                options.append(Option(name, words[index], origin))
                index += 1
            else:
                options.append(Option(name, None, origin))
            continue
        if index < count and (words[index][:1] != "-" or len(words[index]) == 1):
            options.append(Option(name, words[index], origins[index]))
            index += 1
        else:
            options.append(Option(name, None, origin))
    return found


def _member(name: str, runtime: Runtime) -> str:
    """The option that a member of a JSON option is; vLLM takes these one by one as well."""
    document, _, member = name.rpartition(".")
    if member in ("tensorizer-uri", "tensorizer-dir"):
        return member
    if member in ("model", "revision") and document in runtime.documents:
        return f"spec-{member}"
    return name


def _apart(words: list[str], origins: list[int]) -> tuple[list[str], list[int]]:
    """Options that stand in one word with their values and other options, taken apart."""
    pieces: list[str] = []
    places: list[int] = []
    for word, origin in zip(words, origins, strict=True):
        parts = [word]
        if word[:2] == "--" and " " in word.partition("=")[0]:
            name, _, rest = word.partition(" ")
            parts = [name, rest.strip()] if rest.strip()[:1] in ("{", "[") else word.split()
        pieces += parts
        places += [origin] * len(parts)
    return pieces, places


@lru_cache(maxsize=8192)
def look(name: str, runtime: Runtime) -> tuple[str, Role | None]:
    """The full name of an option, and the role of the reference that it names, if it does."""
    whole = full_name(name, runtime)
    return whole, role_of(whole, runtime)


def full_name(name: str, runtime: Runtime) -> str:
    """The option of ``runtime`` that ``name`` is or abbreviates; else ``name`` itself."""
    if name in runtime.options or name in runtime.lists or name in runtime.documents:
        return name
    if name[:_ABBREVIATION] not in STARTS or len(name) < _ABBREVIATION:
        return name
    if name in _NO_ABBREVIATIONS:
        return name if name != "trust" else "trust-remote-code"
    for table in (runtime.options, runtime.lists, runtime.documents, runtime.revisions):
        for known in table:
            if known.startswith(name) and known != name:
                return known
    for known in runtime.remote_code:
        if known.startswith(name):
            return known
    return name


def role_of(name: str, runtime: Runtime) -> Role | None:
    """The role of the reference that an option names, if it names one."""
    return runtime.options.get(name) or runtime.lists.get(name) or runtime.documents.get(name)
