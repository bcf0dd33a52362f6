"""The connection to PostgreSQL: a pool, transactions whose lost commit is told apart, and the database's clock."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from tongbao.storage.failures import AWAY, CommitUnknown, away
from tongbao.storage.migrations import migrate
from tongbao.storage.transaction import Transaction

R = TypeVar("R")


class Database:
    """Implements `ports.store.Store`."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.transactions = 0

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
        """Runs `work` in one transaction. Raises CommitUnknown when the connection is lost during COMMIT."""
        async with self.pool.acquire() as connection:
            self.transactions += 1
            transaction = connection.transaction()
            await transaction.start()
            try:
                result = await work(Transaction(connection))
            except BaseException:
                with contextlib.suppress(*AWAY):
                    await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except AWAY as error:
                raise CommitUnknown from error
            return result

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for single statements; raises StorageUnavailable when the database is away."""
        try:
            async with self.pool.acquire() as connection:
                yield connection
        except AWAY as error:
            raise away(error) from error

    async def now(self) -> datetime:
        """The database's clock, by which all machines correct theirs."""
        async with self.pool.acquire() as connection:
            found: datetime = await connection.fetchval("SELECT clock_timestamp()")
            return found
