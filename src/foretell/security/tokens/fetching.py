"""Fetches small documents of issuers: no redirect followed, no more read than may be, no longer waited than may be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from foretell.core.access.address import at_home

if TYPE_CHECKING:
    from httpx2 import Response

MAX_REPLY_BYTES = 256 * 1024
TIMEOUT_S = 5.0


class FetchFault(Exception):
    """Why there is no document, in words for the log."""


async def fetch(url: str, *, timeout_s: float = TIMEOUT_S, max_bytes: int = MAX_REPLY_BYTES) -> bytes:
    """The body of a GET that was answered 200. Raises FetchFault. httpx2 is imported at first use."""
    import httpx2

    headers = {"accept": "application/json", "accept-encoding": "identity"}
    try:
        async with (
            asyncio.timeout(timeout_s),
            # a proxy of the environment is for addresses of other machines
            httpx2.AsyncClient(follow_redirects=False, timeout=timeout_s, trust_env=not at_home(url)) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            if answer.status_code != 200:
                raise FetchFault(f"it was answered {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise FetchFault("its answer is compressed, which was not asked for")
            return await _bounded(answer, max_bytes)
    except TimeoutError:
        raise FetchFault(f"there was no whole answer within {timeout_s:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise FetchFault(f"it cannot be reached: {type(error).__name__}") from error


async def _bounded(answer: Response, max_bytes: int) -> bytes:
    body = b""
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise FetchFault(f"its answer is larger than {max_bytes} bytes")
    return body
