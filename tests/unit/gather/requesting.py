"""Sending requests, as the tests do."""

from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from weighmaster.errors import GatherError
from weighmaster.gather.client import Answer, HttpClient, Request
from weighmaster.gather.credentials import Credential

SECRET = Credential("hub.test", "hunter2")


def redirect(location: str, status: int = 302) -> Any:
    """A misbehaviour: ``/go`` redirects there, anything else says hello."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/go":
            return web.Response(status=status, headers={"Location": location})
        return web.Response(text="hello")

    return answer


async def get(client: HttpClient, url: str, **changes: Any) -> Answer:
    return await client.get(Request(**{"url": URL(url), "limit": 1000, **changes}))


async def failure(client: HttpClient, url: str, **changes: Any) -> GatherError:
    with pytest.raises(GatherError) as caught:
        await get(client, url, **changes)
    return caught.value
