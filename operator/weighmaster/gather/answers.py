"""From an HTTP answer to a value, or to the error that says why there is none."""

from collections.abc import Mapping
from typing import Any

import msgspec
from yarl import URL

from weighmaster.core.evidence import UnavailableReason
from weighmaster.errors import GatherError
from weighmaster.gather.client import Answer


def succeeded(answer: Answer, what: str) -> Answer:
    """The answer itself if it is one. Raises GatherError for any status but 200, 206 and 304."""
    status = answer.status
    if status in (200, 206, 304):
        return answer
    if status in (401, 403):
        raise GatherError(
            UnavailableReason.UNAUTHORIZED,
            f"{what}: {answer.url.host} refuses access; it is gated or private, or does not exist",
            status=status,
        )
    if status in (404, 410):
        raise GatherError(
            UnavailableReason.NOT_FOUND,
            f"{what}: {answer.url.host} has no such thing",
            status=status,
        )
    raise hostile(answer.url, f"answers {what} with status {status}", status)


def decode_object(answer: Answer, what: str) -> dict[str, Any]:
    """The JSON object in an answer. Raises GatherError for anything else."""
    value = decode(answer, what)
    if not isinstance(value, dict):
        raise hostile(answer.url, f"answers {what} with something that is no JSON object")
    return value


def decode(answer: Answer, what: str) -> Any:
    """The JSON value in an answer. Raises GatherError when it is not JSON."""
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise hostile(answer.url, f"answers {what} with something that is no JSON") from None


def hostile(url: URL, what: str, status: int = 0) -> GatherError:
    """An answer that contradicts itself or the protocol."""
    return GatherError(UnavailableReason.HOSTILE_ANSWER, f"{url.host} {what}", status=status)


def text_of(values: Mapping[str, Any], key: str, longest: int = 1024) -> str | None:
    """A non-empty text of a JSON object, clipped; None when there is none."""
    value = values.get(key)
    return value[:longest] if isinstance(value, str) and value else None
