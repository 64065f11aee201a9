"""The YAML block at the top of a model card, read event by event and no further than needed.

Cards carry evaluation results of hundreds of kilobytes. Only the values of the keys asked for are
built; the rest is passed over without recursion, so depth and aliases cost nothing. What a parser
could read in two ways (a key twice, a merge key, an alias in a value) is an error, not a guess.
"""

from collections.abc import Collection, Iterator

import yaml

from weighmaster.errors import HeaderError

MAX_BLOCK = 1024 * 1024
"""Bytes of front matter."""

MAX_ITEMS = 256
"""Items of one value."""

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

Values = dict[str, list[str]]


def block_of(card: bytes) -> bytes | None:
    """The YAML between the first two ``---`` lines, None when the card does not begin with it.

    Raises HeaderError when it does not end, or is over MAX_BLOCK.
    """
    text = card.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b"---\n", b"---\r\n", b"--- ")):
        return None
    _, _, rest = text.partition(b"\n")
    at = 0
    while True:
        end = rest.find(b"\n", at)
        line = rest[at : end if end >= 0 else len(rest)]
        if line.rstrip() == b"---":
            return rest[:at]
        if end < 0 or end > MAX_BLOCK:
            raise HeaderError("the card's metadata does not end, or is too long")
        at = end + 1


def read_block(block: bytes, keys: Collection[str]) -> Values:
    """The values of some top-level keys, each as a list of texts (a scalar is a list of one).

    Nested values count as present and empty. Raises HeaderError for what is not YAML, not a
    mapping, or ambiguous.
    """
    try:
        return _read(iter(yaml.parse(block.decode(), Loader=_LOADER)), keys)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        raise HeaderError("the card's metadata is not YAML") from None
    except StopIteration:
        raise HeaderError("the card's metadata is cut off") from None


def _read(events: Iterator[yaml.Event], keys: Collection[str]) -> Values:
    found: Values = {}
    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            break
        if isinstance(event, yaml.ScalarEvent) and not event.value:
            return found  # an empty block
        if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            raise HeaderError("the card's metadata is not a mapping")
    else:
        return found
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent) or event.value == "<<":
            raise HeaderError("a key of the card's metadata is not a plain text")
        key = event.value
        if key not in keys:
            _pass_over(events)
            continue
        if key in found:
            raise HeaderError("the card's metadata has a key twice")
        found[key] = _value(events)
    return found


def _pass_over(events: Iterator[yaml.Event]) -> None:
    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth == 0:
            return


def _value(events: Iterator[yaml.Event]) -> list[str]:
    event = next(events)
    if isinstance(event, yaml.AliasEvent):
        raise HeaderError("the card's metadata uses an alias where it matters")
    if isinstance(event, yaml.ScalarEvent):
        empty = event.value in ("", "null", "~") and event.style is None
        return [] if empty else [event.value]
    items: list[str] = []
    depth = 1
    while depth:
        event = next(events)
        if isinstance(event, yaml.AliasEvent):
            raise HeaderError("the card's metadata uses an alias where it matters")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and depth == 1:
            items.append(event.value)
            if len(items) > MAX_ITEMS:
                raise HeaderError("a list in the card's metadata is too long")
    return items
