"""Literals in code: a revision beside the name of a model, in Python calls and in JSON.

What is inserted is made of the same letters and the same quotes as what stands beside it, so
whatever quotes there are around the code (a shell's, a here-document's) treat both alike.
"""

import re

from weighmaster.core.enforce.pinning.edits import Edit, Splice
from weighmaster.core.enforce.pinning.lines import Asked
from weighmaster.core.enforce.pinning.places import Keys

MAX_TEXT = 65_536
"""Characters of a text that is looked through."""

_GAP = r"\s{0,200}"
_QUOTE = r"(?P<quote>\\?[\"'])"
_ARGUMENT = (
    rf"(?:\w{{1,80}}{_GAP}={_GAP})?"
    r"(?:[rbu]?\\?[\"'][^\"'\\\n]{0,300}\\?[\"']"
    r"|[\w.]{1,200}(?:\([^()\"'\n]{0,200}\))?"
    r"|\[[^\[\]\n]{0,300}\])"
)
"""A literal, a name or a simple call, or a list; with its keyword, if it has one."""
_REST = re.compile(rf"(?P<arguments>(?:{_GAP},{_GAP}{_ARGUMENT}){{0,40}}){_GAP}(?:,{_GAP})?\)")
_GIVEN = re.compile(r"\brevision\s*=\s*\\?[\"'](?P<value>[\w./-]*)\\?[\"']")
_KEYWORD = re.compile(r"\s*,\s*\w+\s*=")
_MEMBER = re.compile(r"\\?\"revision\\?\"\s*:\s*\\?\"(?P<value>[\w./-]*)\\?\"")

_LOADING = r"(?:Auto\w+|\w+(?:Pipeline|Model|Tokenizer|TokenizerFast|ForCausalLM))\.from_pretrained"
CALLS = {
    "snapshot_download": r"\bsnapshot_download",
    "hf_hub_download": r"\bhf_hub_download",
    "from_pretrained": rf"\b{_LOADING}",
    "SentenceTransformer": r"\bSentenceTransformer",
    "CrossEncoder": r"\bCrossEncoder",
    "pipeline": r"\bpipeline",
    "LLM": r"\bLLM",
    "EngineArgs": r"\bEngineArgs",
    "AsyncEngineArgs": r"\bAsyncEngineArgs",
}
"""Calls that take a ``revision``, by what detection says of the use.

huggingface_hub, transformers and diffusers, sentence-transformers, vLLM.
"""

MAX_CALLS = 20
"""Calls of one text that name the same model."""


def in_call(text: str, path: Keys, asked: Asked) -> list[Edit] | None:
    """Edits of Python calls that name the model by a literal; None where there are none."""
    edits: list[Edit] = []
    call = CALLS.get(asked.use.reason)
    if call is None or len(text) > MAX_TEXT:
        return None
    named = rf"{call}\s?\({_GAP}(?:{_ARGUMENT}{_GAP},{_GAP}){{0,8}}?(?:\w{{1,80}}{_GAP}={_GAP})?"
    literal = re.compile(named + _QUOTE + re.escape(asked.repository) + r"(?P=quote)")
    for match in list(literal.finditer(text))[: MAX_CALLS + 1]:
        rest = _REST.match(text, match.end())
        if rest is None or len(edits) >= MAX_CALLS:
            return None
        given = _GIVEN.search(text, match.end(), rest.end())
        if given is not None:
            edits.append(Splice(path, given.start("value"), given.end("value"), asked.revision))
            continue
        quote = match["quote"]
        arguments = rest["arguments"]
        names = _KEYWORD.match(arguments) or not arguments
        position = match.end() if names else rest.end("arguments")
        made = f", revision={quote}{asked.revision}{quote}"
        edits.append(Splice(path, position, position, made))
    return edits or None


def in_document(text: str, path: Keys, asked: Asked) -> list[Edit] | None:
    """Edits of a JSON text that names the model; None where that is not plain to see."""
    if len(text) > MAX_TEXT:
        return None
    literal = re.compile(
        r"(?P<quote>\\?\")model(?P=quote)\s*:\s*(?P=quote)"
        + re.escape(asked.repository)
        + r"(?P=quote)"
    )
    found = list(literal.finditer(text))
    given = list(_MEMBER.finditer(text))
    if len(found) != 1 or len(given) > 1:
        return None
    if given:
        start, end = given[0].span("value")
        return [Splice(path, start, end, asked.revision)]
    quote = found[0]["quote"]
    made = f", {quote}{asked.form.member}{quote}: {quote}{asked.revision}{quote}"
    return [Splice(path, found[0].end(), found[0].end(), made)]
