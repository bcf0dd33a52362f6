"""Group commit: many commands, one transaction. The batch is the unit; one is a batch of one.

Rule 1: idle, the first command goes at once; while a batch is in flight the next one gathers. No timer is waited for.
Rule 2: a refused item is a value and hurts no neighbour. An error that PostgreSQL raises for the data of one item, or
        a bug that one item meets, rolls the batch back and it is bisected; deadlock and serialization failures run
        again (in the store); a connection lost during COMMIT gives everyone `unknown` (safe: every command has a
        natural key).
Rule 3: results are handed out after the commit, to waiters that are still there.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from tongbao.domain.errors import StorageUnavailable, TongbaoError
from tongbao.storage.failures import DataRefused

C = TypeVar("C")
R = TypeVar("R")

BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What a broken assumption about one item looks like. It crashes that request, and not its neighbours'."""


class GroupCommit(Generic[C, R]):
    """`execute` runs one batch in one transaction and returns a result or a TongbaoError per command, in order."""

    def __init__(
        self,
        execute: Callable[[Sequence[C]], Awaitable[Sequence[R | TongbaoError]]],
        *,
        size_max: int = 512,
        in_flight_max: int = 1,
    ) -> None:
        self._execute = execute
        self._size_max = size_max
        self._in_flight_max = in_flight_max
        self._in_flight = 0
        self._waiting: deque[tuple[C, asyncio.Future[R]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.batches = 0
        self.commands = 0

    @property
    def backlog(self) -> int:
        """Commands that wait for a batch."""
        return len(self._waiting)

    def submit(self, command: C) -> "asyncio.Future[R]":
        """A future of the command's result; it raises the TongbaoError of a refused command."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        if self._in_flight < self._in_flight_max:
            self._in_flight += 1
            task = asyncio.create_task(self._drain(), context=Context())  # a batch is no single request's
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                size = min(len(self._waiting), self._size_max)
                batch = [self._waiting.popleft() for _ in range(size)]
                self.batches += 1
                self.commands += size
                await self._run(batch)
        finally:
            self._in_flight -= 1

    async def _run(self, batch: list[tuple[C, "asyncio.Future[R]"]]) -> None:
        try:
            results = await self._settle([command for command, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else ConnectionAbortedError())
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _settle(self, commands: Sequence[C]) -> Sequence[R | Exception]:
        try:
            return await self._execute(commands)
        except StorageUnavailable as error:
            return [error] * len(commands)
        except (DataRefused, *BUGS) as error:
            if len(commands) == 1:
                return [error]
            middle = len(commands) // 2
            first = await self._settle(commands[:middle])
            return [*first, *await self._settle(commands[middle:])]
