"""The connection to PostgreSQL: a pool, transactions whose lost commit is told apart, and the database's clock."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from tongbao.domain.errors import StorageUnavailable
from tongbao.storage.failures import AWAY, CONTENTION, REFUSED, CommitUnknown, DataRefused, away, is_refused
from tongbao.storage.migrations import migrate
from tongbao.storage.transaction import Transaction

R = TypeVar("R")

RUNS_MAX = 8


class Database:
    """Implements `ports.store.Store`."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.transactions = 0
        self.contentions = 0
        self.events: Counter[str] = Counter()
        """What was committed, by type of event."""

    @classmethod
    async def connect(cls, url: str, *, connections_max: int = 12) -> "Database":
        """Opens the pool; raises OSError or PostgresError when the server is not there."""
        pool = await asyncpg.create_pool(
            url,
            min_size=2,
            max_size=connections_max,
            command_timeout=30,
            server_settings={"application_name": "tongbao", "timezone": "UTC", "jit": "off"},
        )
        return cls(pool)

    async def close(self) -> None:
        self.pool.terminate() if self.pool.is_closing() else await self.pool.close()

    async def migrate(self) -> list[str]:
        async with self.pool.acquire() as connection:
            return await migrate(connection)

    async def transact(self, work: Callable[[Transaction], Awaitable[R]]) -> R:
        """Runs `work` in one transaction, again after a deadlock or a lost race for a unique key.

        Raises DataRefused for values that PostgreSQL refuses, and StorageUnavailable when it is away; its outcome is
        unknown when the connection was lost during COMMIT.
        """
        raced = False
        for _ in range(RUNS_MAX):
            try:
                return await self._transact_once(work)
            except CONTENTION:
                self.contentions += 1
            except (CommitUnknown, *REFUSED, *AWAY) as error:
                if not is_refused(error):
                    raise away(error) from error
                if not raced and isinstance(error, asyncpg.UniqueViolationError):
                    raced = True  # another transaction was first; the next run reads its row
                    continue
                raise DataRefused from error
        raise StorageUnavailable("too much contention; try again shortly")

    async def _transact_once(self, work: Callable[[Transaction], Awaitable[R]]) -> R:
        async with self.pool.acquire() as connection:
            self.transactions += 1
            transaction = connection.transaction()
            await transaction.start()
            written = Transaction(connection)
            try:
                result = await work(written)
            except BaseException:
                with contextlib.suppress(*AWAY):
                    await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except AWAY as error:
                raise CommitUnknown from error
            self.events.update(written.events)
            return result

    @property
    def connections_busy(self) -> int:
        return int(self.pool.get_size() - self.pool.get_idle_size())

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for single statements; raises StorageUnavailable when the database is away, and DataRefused for
        a value that it cannot take (a NUL in an address, a date before our era)."""
        try:
            async with self.pool.acquire() as connection:
                yield connection
        except (*REFUSED, *AWAY) as error:
            if is_refused(error):
                raise DataRefused from error
            raise away(error) from error

    async def now(self) -> datetime:
        """The database's clock, by which all machines correct theirs."""
        async with self.connection() as connection:
            found: datetime = await connection.fetchval("SELECT clock_timestamp()")
            return found

    async def is_ready(self) -> bool:
        """True when the database answers."""
        try:
            async with self.pool.acquire(timeout=2) as connection:
                return bool(await connection.fetchval("SELECT true", timeout=2))
        except AWAY:
            return False
