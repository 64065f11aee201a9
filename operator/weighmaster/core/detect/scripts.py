"""Python code in a manifest: the calls that name weights.

The code is searched, not run: every pattern is linear and every argument is looked for in a short
window after the name of the call.
"""

import re

from weighmaster.core import references
from weighmaster.core.detect import naming
from weighmaster.core.detect.environment import Environment
from weighmaster.core.detect.invocation import CodeSnippet
from weighmaster.core.values import ModelReference

WINDOW = 600
MAX_CALLS = 200

_CALL = re.compile(
    r"\b(snapshot_download|hf_hub_download|cached_download|model_file_download|bootstrap|"
    r"from_pretrained|SentenceTransformer|CrossEncoder|AsyncLLMEngine|AsyncEngineArgs|EngineArgs|"
    r"LLM|WhisperModel|pipeline|load_model|Llama|hf_hub_url|dataset_download|vLLMEngineProcessorConfig)"
    r"\s?\("
)
_FETCHING = frozenset(
    {"snapshot_download", "hf_hub_download", "cached_download", "model_file_download", "bootstrap",
     "hf_hub_url"}
)  # fmt: skip
_NAMED = re.compile(
    r"\b(repo_id|model_id|model|model_name_or_path|pretrained_model_name_or_path|model_name|"
    r"model_path|model_source|local_dir|filename|revision|repo_type)\s{0,4}=\s{0,4}([^=\s][^,\n)]{0,300})"
)
_STRING = re.compile(r"[rbuf]{0,2}(\"\"\"|'''|\"|')([^\"'\n]{0,400})\1")
_ENVIRON = re.compile(
    r"os\.(?:environ(?:\.get)?|getenv)\s?[\[(]\s{0,4}[\"']([A-Za-z_]\w*)[\"']"
    r"(?:\s{0,4},\s{0,4}[\"']([^\"'\n]{0,300})[\"'])?"
)
_ASSIGNED = re.compile(r"(?m)^[ \t]{0,40}([A-Za-z_]\w{0,60})\s{0,4}=\s{0,4}([^=\n][^\n]{0,300})")
_TRAINING = re.compile(r"\b(?:Trainer|SFTTrainer|TrainingArguments|LoraConfig|\.fit|optimizer)\b")


_IMPORTED = re.compile(
    r"\b(?:snapshot_download|hf_hub_download)\b|^\s{0,20}(?:from|import)\s+(?:vllm|sglang|llama_cpp)\b",
    re.MULTILINE,
)


def fetches(code: str) -> bool:
    """Whether code imports a downloader or an engine, however it calls it."""
    return any(not _commented(code, match.start()) for match in _IMPORTED.finditer(code))


class Found:
    """A call that names weights."""

    __slots__ = ("call", "destination", "fetching", "reference")

    def __init__(self, call: str, reference: ModelReference, destination: str) -> None:
        self.call = call
        self.reference = reference
        self.destination = destination
        self.fetching = call in _FETCHING


def read(snippet: CodeSnippet, place: naming.Place) -> list[Found]:
    """The weights that a piece of Python code names."""
    code = snippet.code
    if "(" not in code:
        return []
    calls = []
    for match in _CALL.finditer(code):
        calls.append(match)
        if len(calls) >= MAX_CALLS:
            break
    if not calls:
        return []
    training = bool(_TRAINING.search(code))
    names = dict(_ASSIGNED.findall(code)[:500])
    found = []
    for match in calls:
        call = match[1]
        if training and call not in _FETCHING:
            continue
        if _commented(code, match.start()) or code[: match.start()].endswith("def "):
            continue
        one = _one(
            call, code[match.end() : match.end() + WINDOW], names, place, snippet.environment
        )
        if one is not None:
            found.append(one)
    return found


def _commented(code: str, position: int) -> bool:
    line = code[max(code.rfind("\n", 0, position), position - 200) + 1 : position]
    return line.lstrip().startswith("#")


def _one(
    call: str, window: str, names: dict[str, str], place: naming.Place, environment: Environment
) -> Found | None:
    arguments: dict[str, str] = {}
    for name, value in _NAMED.findall(window):
        arguments.setdefault(name, value)
    if arguments.get("repo_type", "").strip("\"' ") in ("dataset", "space"):
        return None
    expression = next(
        (arguments[name] for name in
         ("repo_id", "model_id", "pretrained_model_name_or_path", "model_name_or_path",
         "model_source",
          "model_path", "model", "model_name") if name in arguments),
        None,
    )  # fmt: skip
    first = window.lstrip()
    if expression is None and first[:1] not in (")", "*"):
        expression = first.split("\n", 1)[0].split(",", 1)[0]
    value = _value(expression or "", names, environment, 0)
    if call == "pipeline" and (value is None or "/" not in value):
        return None
    destination = _value(arguments.get("local_dir", ""), names, environment, 0) or ""
    if value is None:
        if call in _FETCHING:
            return Found(
                call,
                references.unresolved(f"{call}({(expression or '').strip()[:80]}"),
                destination,
            )
        return None
    fixed = _value(arguments.get("revision", ""), names, environment, 0)
    read_as = naming.read(value, "hub", place)
    if not read_as:
        return None
    reference = read_as[0]
    if call not in _FETCHING and not reference.known and reference.scheme == "unresolved":
        return None
    if fixed and reference.scheme == "hf" and reference.known:
        reference = references.hugging_face(reference.location[5:], fixed)
    return Found(call, reference, destination)


def _value(
    expression: str, names: dict[str, str], environment: Environment, depth: int
) -> str | None:
    """A string that an expression comes to, where that is plain to see."""
    expression = expression.strip().rstrip(",)")
    match = _ENVIRON.search(expression)
    if match:
        name = match[1]
        if name in environment.values:
            return environment.values[name]
        if environment.origin(name) is not None:
            return f"$({name})"
        return match[2] or f"$({name})"
    match = _STRING.match(expression)
    if match:
        text = match[2]
        return text if "{" not in text or expression[:1] != "f" else None
    if depth < 3 and expression.isidentifier() and expression in names:
        return _value(names[expression], names, environment, depth + 1)
    return None
