"""What a channel's two clients are made of: pure exchanges, the two ways to drive one, and methods bound by name.

Rule: a method is written once, as an exchange - a generator that yields a Request and is sent the Reply (or thrown the
transport's error) until it returns its result. Nothing here knows a channel.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, get_args, get_origin

from tongbao.domain.errors import ChannelError
from tongbao.ports import Reply, Request, SyncTransport, Transport

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")
Exchange = Generator[Request, Reply, T]
"""Yields requests, is sent replies (or thrown the transport's error), returns the result."""


def _advance(exchange: Exchange[T], arrived: Reply | ChannelError | None) -> Request:
    """One step of an exchange: raises StopIteration with its result at the end."""
    if isinstance(arrived, ChannelError):
        return exchange.throw(arrived)
    return next(exchange) if arrived is None else exchange.send(arrived)


def drive(exchange: Exchange[T], transport: SyncTransport) -> T:
    """Moves an exchange's requests and replies over `transport`, to its result; a failure of the transport is thrown
    into the exchange."""
    arrived: Reply | ChannelError | None = None
    while True:
        try:
            request = _advance(exchange, arrived)
        except StopIteration as end:
            return cast(T, end.value)
        try:
            arrived = transport.send(request)
        except ChannelError as error:
            arrived = error


async def drive_awaiting(exchange: Exchange[T], transport: Transport) -> T:
    """The same over an asynchronous transport."""
    arrived: Reply | ChannelError | None = None
    while True:
        try:
            request = _advance(exchange, arrived)
        except StopIteration as end:
            return cast(T, end.value)
        try:
            arrived = await transport.send(request)
        except ChannelError as error:
            arrived = error


# --- one flight for all ------------------------------------------------------------------------------------------


class OneFlight:
    """A transport on which requests for `url` are sent one at a time: who asks while one is under way waits for it and
    gets its reply. For the same question asked by many, such as a channel's list of keys."""

    def __init__(self, transport: SyncTransport, url: str) -> None:
        self._transport = transport
        self._url = url
        self._taking_off = threading.Lock()
        self._flight: Future[Reply] | None = None

    def send(self, request: Request) -> Reply:
        if request.url != self._url:
            return self._transport.send(request)
        with self._taking_off:
            joined = self._flight
            if joined is None:
                mine = self._flight = Future[Reply]()
        if joined is not None:
            return joined.result()
        try:
            mine.set_result(self._transport.send(request))
        except BaseException as error:
            mine.set_exception(error)
        finally:
            self._flight = None
        return mine.result()


class OneFlightAwaited:
    """The same over an asynchronous transport; a waiter that is cancelled does not end the flight of the others."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport = transport
        self._url = url
        self._flight: asyncio.Task[Reply] | None = None

    async def send(self, request: Request) -> Reply:
        if request.url != self._url:
            return await self._transport.send(request)
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._sent(request))
            self._flight.add_done_callback(_seen)
        return await asyncio.shield(self._flight)

    async def _sent(self, request: Request) -> Reply:
        return await self._transport.send(request)


def _seen(flight: "asyncio.Task[Reply]") -> None:
    """An error is known to whoever waits; with nobody left it is nobody's, and asyncio need not report it."""
    if not flight.cancelled():
        flight.exception()


# --- methods -----------------------------------------------------------------------------------------------------


def shown(function: Callable[..., object]) -> Signature:
    """What `help()` shows: `self` for the account, and an exchange's result instead of the exchange."""
    shape = signature(function)
    first = shape.parameters["account"].replace(name="self", annotation=Parameter.empty)
    rest = [parameter for name, parameter in shape.parameters.items() if name != "account"]
    result = shape.return_annotation
    if get_origin(result) is Generator:
        result = get_args(result)[2]
    return shape.replace(parameters=[first, *rest], return_annotation=result)


def offline(function: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A client's method that sends nothing."""

    @wraps(function)
    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(self.account, *args, **kwargs)

    method.__signature__ = shown(function)  # type: ignore[attr-defined]  # what help() shows
    return method


def blocking(exchange: Callable[Concatenate[A, P], Exchange[T]]) -> Callable[Concatenate[Any, P], T]:
    """The exchange as a method of a blocking client (`account`, `run(exchange)`)."""

    @wraps(exchange)
    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return cast(T, self.run(exchange(self.account, *args, **kwargs)))

    method.__signature__ = shown(exchange)  # type: ignore[attr-defined]
    return method


def awaitable(
    exchange: Callable[Concatenate[A, P], Exchange[T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The exchange as a method of an asynchronous client."""

    @wraps(exchange)
    async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return cast(T, await self.run(exchange(self.account, *args, **kwargs)))

    method.__signature__ = shown(exchange)  # type: ignore[attr-defined]
    return method
