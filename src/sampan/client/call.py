"""Requests as values, and the descriptors that make methods of them on both clients.

An endpoint is written once, as a function that returns a Call, and is a method of `Client` and of `AsyncClient` with
the same name, arguments and result type.
"""

from __future__ import annotations

from sampan.rpc import documents

from .http11 import query_string, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from typing import Any, Generic, ParamSpec, TypeVar, overload

    Query = dict[str, Any]
    Payload = bytes | Iterable[bytes] | None
    P = ParamSpec("P")
    T = TypeVar("T")
else:
    from .generics import Generic, P, T, overload


UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}
"""Headers of a request that hands its connection over."""


def encode_query(query: Query) -> str:
    """None and False are left out, True is 1, dicts are JSON (filters), lists repeat the key."""
    pairs: list[tuple[str, str]] = []
    for key, value in query.items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if item is None or item is False:
                continue
            pairs.append((key, _query_value(item)))
    return query_string(pairs)


def _query_value(value: object) -> str:
    if value is True:
        return "1"
    return documents.dumps(value) if isinstance(value, dict) else str(value)


class Call(Generic[T]):
    """One request and how to read its answer."""

    __slots__ = ("body", "decode", "headers", "method", "path", "query", "versioned")

    def __init__(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        json_body: object = None,
        body: Payload = None,
        headers: dict[str, str] | None = None,
        decode: Callable[[bytes], T],
        versioned: bool = True,
    ) -> None:
        self.method, self.query, self.decode, self.versioned = method, query or {}, decode, versioned
        self.path = quote(path)
        self.headers = dict(headers or {})
        self.body = body
        if json_body is not None:
            self.body = documents.dumps(json_body).encode("utf-8", "replace")
            self.headers["Content-Type"] = "application/json"

    def target(self, prefix: str) -> str:
        query = encode_query(self.query)
        return prefix + self.path + ("?" + query if query else "")


class Stream(Call[T]):
    """A request whose answer is a sequence of items that arrive over time."""


class Hijack(Call[None]):
    """A request that turns its connection into a two-way byte stream."""


def decode_json(data: bytes) -> Any:
    return documents.loads(data.decode()) if data.strip() else None


def decode_nothing(data: bytes) -> None:
    return None


def decode_bytes(data: bytes) -> bytes:
    return data


class SyncSender:
    """What the descriptors ask of a blocking client."""

    def send(self, call: Call[T]) -> T:
        raise NotImplementedError

    def stream(self, call: Stream[T]) -> Iterator[T]:
        raise NotImplementedError


class AsyncSender:
    """The same of an asynchronous one."""

    async def send(self, call: Call[T]) -> T:
        raise NotImplementedError

    def stream(self, call: Stream[T]) -> AsyncIterator[T]:
        raise NotImplementedError


class endpoint(Generic[P, T]):
    """A request function as a method."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, sender: SyncSender, owner: object = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, sender: AsyncSender, owner: object = None) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, sender: Any, owner: object = None) -> Any:
        return lambda *args, **kwargs: sender.send(self.build(*args, **kwargs))


class streaming(Generic[P, T]):
    """A streaming request function as a method that returns an iterator."""

    def __init__(self, build: Callable[P, Stream[T]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, sender: SyncSender, owner: object = None) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, sender: AsyncSender, owner: object = None) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, sender: Any, owner: object = None) -> Any:
        return lambda *args, **kwargs: sender.stream(self.build(*args, **kwargs))
