"""JSON Patch (RFC 6902): how an object becomes what it must be, in as few operations as needed.

Written here and not left to a library: the webhook also tells people which fields differ, so the
operations have to be predictable. There are no moves or copies, and a list that grew or shrank
keeps its common beginning and end.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Operation = dict[str, Any]


def difference(before: object, after: object, path: str = "") -> tuple[Operation, ...]:
    """The operations that turn ``before`` into ``after``; none if they are equal.

    ``path`` is the JSON Pointer (RFC 6901) of both.
    """
    return tuple(_difference(before, after, path))


def _difference(before: object, after: object, path: str) -> Iterator[Operation]:
    if before is after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _of_mappings(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(before, after, path)
    elif type(before) is not type(after) or before != after:  # Python takes true for 1
        yield {"op": "replace", "path": path, "value": after}


def _same(one: object, other: object) -> bool:
    return next(_difference(one, other, ""), None) is None


def _of_mappings(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str
) -> Iterator[Operation]:
    for key in before:
        if key not in after:
            yield {"op": "remove", "path": f"{path}/{_escape(key)}"}
    for key, value in after.items():
        where = f"{path}/{_escape(key)}"
        if key in before:
            yield from _difference(before[key], value, where)
        else:
            yield {"op": "add", "path": where, "value": value}


def _of_lists(before: list[Any], after: list[Any], path: str) -> Iterator[Operation]:
    start = 0
    shorter = min(len(before), len(after))
    if len(before) != len(after):
        while start < shorter and _same(before[start], after[start]):
            start += 1
    end = 0
    while end < shorter - start and _same(before[-1 - end], after[-1 - end]):
        end += 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    both = min(len(old), len(new))
    for index in range(both):
        yield from _difference(old[index], new[index], f"{path}/{start + index}")
    for index in range(len(old) - 1, both - 1, -1):
        yield {"op": "remove", "path": f"{path}/{start + index}"}
    for index in range(both, len(new)):
        yield {"op": "add", "path": f"{path}/{start + index}", "value": new[index]}


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
