"""Scripts: the same changes as in a list of words, where a shell starts the server.

Only words of simple commands are changed, and only where each stands for certain
(``pinning.scripts``); what is put there is made of characters that mean the same in any quotes.
"""

import re
from collections.abc import Callable, Sequence

from weighmaster.core.detect.runtimes import is_server
from weighmaster.core.enforce.pinning.lines import is_option
from weighmaster.core.enforce.pinning.scripts import Word, commands
from weighmaster.core.enforce.staging.forms import Form


def in_script(
    script: str,
    name: re.Pattern[str],
    form: Form,
    replaced: Callable[[str], str],
    further: Callable[[Sequence[str]], Sequence[str]],
) -> str | None:
    """The script with the word replaced that names a model; None where that is not plain.

    ``name`` matches the name, or a variable that is it. ``further`` gives the words that come
    after it, by the words of its command.
    """
    named = [
        (words, index)
        for words in commands(script)
        for index, word in enumerate(words)
        if name.search(word.text)
    ]
    if len(named) != 1:
        return None
    words, at = named[0]
    before = words[at - 1].text if at else ""
    serves = any(is_server(word.text.rpartition("/")[2]) for word in words[:at])
    if not serves or any(plain(text) in form.renamed for text in (before, words[at].text)):
        return None
    dropped = [word for name in form.revisions for word in _given(words, name)]
    made = "".join(f" {word}" for word in further([word.text for word in words]))
    anchor = words[at]
    changes = [(anchor.start, anchor.end, f"{replaced(script[anchor.start : anchor.end])}{made}")]
    changes += [(_before(script, word.start), word.end, "") for word in dropped]
    for start, end, text in sorted(changes, reverse=True):
        script = script[:start] + text + script[end:]
    return script


def plain(word: str) -> str:
    """The name of the option that a word is, without its dashes and with them for underscores."""
    return word.partition("=")[0].lstrip("-").replace("_", "-")


def _given(words: Sequence[Word], option: str) -> list[Word]:
    """The words that give an option: itself, and its value."""
    found = []
    for index, word in enumerate(words):
        if is_option(word.text, option):
            found.append(word)
            if "=" not in word.text and index + 1 < len(words):
                found.append(words[index + 1])
    return found


def _before(text: str, start: int) -> int:
    """Where the blanks before a word begin."""
    while start and text[start - 1] in " \t":
        start -= 1
    return start
