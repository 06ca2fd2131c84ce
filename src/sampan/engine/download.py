"""A file from a web server, as it arrives: `docker import URL`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit
from urllib.request import urlopen

from ..errors import InvalidArgument, SampanError

_CHUNK = 1 << 18
_SECONDS = 30.0


async def download(url: str) -> AsyncIterator[bytes]:
    """The chunks of what is at a URL of http or https; without a scheme it is http, as Docker has it."""
    if "://" not in url:
        url = f"http://{url}"
    try:
        if urlsplit(url).scheme not in ("http", "https"):  # urllib would open file: too
            raise InvalidArgument(f"unsupported protocol scheme {urlsplit(url).scheme!r}")
        response = await asyncio.to_thread(_open, url)
        with response:
            while data := await asyncio.to_thread(response.read, _CHUNK):
                yield data
            if response.length:  # read(n) takes a lost connection for the end
                raise SampanError(f'Get "{url}": unexpected EOF, {response.length} bytes are missing')
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SampanError(f'Get "{url}": {reason}') from None


def _open(url: str) -> HTTPResponse:
    response: HTTPResponse = urlopen(url, timeout=_SECONDS)
    return response
