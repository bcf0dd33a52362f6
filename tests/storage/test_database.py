"""The database away, lost in the middle, or handed what it cannot take: what is certain is said."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest

from tests import made
from tests.storage.cut import Line, cut_line
from tongbao.domain.errors import InvalidInput, Outcome, StorageUnavailable
from tongbao.storage.database import Database
from tongbao.storage.failures import DataRefused

Cut = tuple[Line, Database]


@pytest.fixture
async def cut(database_url: str) -> AsyncIterator[Cut]:
    async with cut_line(database_url) as (line, url):
        connected = await Database.connect(url, connections_max=6)
        yield line, connected
        line.down = False
        connected.pool.terminate()


async def insert(tx: Any) -> str:
    await tx.insert_payments([made.payment(1)])
    return "done"


async def count(database: Database) -> int:
    return len(await made.fetch(database, "SELECT FROM payments"))


async def test_an_answer_lost_in_commit_leaves_the_outcome_unknown(cut: Cut) -> None:
    line, database = cut
    line.lose_answers = 1
    with pytest.raises(StorageUnavailable) as lost:
        await database.transact(insert)
    assert lost.value.outcome is Outcome.UNKNOWN
    assert await count(database) == 1, "it was committed, and the pool goes on by itself"


async def test_a_commit_that_never_arrived_is_unknown_too(cut: Cut) -> None:
    """From here the two cannot be told apart."""
    line, database = cut
    line.lose_requests = 1
    with pytest.raises(StorageUnavailable) as lost:
        await database.transact(insert)
    assert lost.value.outcome is Outcome.UNKNOWN
    assert await count(database) == 0


async def test_a_line_cut_before_the_commit_executed_nothing(cut: Cut) -> None:
    line, database = cut

    async def work(tx: Any) -> None:
        await insert(tx)
        line.cut()
        await insert(tx)

    with pytest.raises(StorageUnavailable) as lost:
        await database.transact(work)
    assert lost.value.outcome is Outcome.NOT_EXECUTED
    assert await count(database) == 0


async def test_a_server_that_is_down_executes_nothing_and_comes_back(cut: Cut) -> None:
    line, database = cut
    line.down = True
    line.cut()
    for work in (database.transact(insert), count(database), database.now()):
        with pytest.raises(StorageUnavailable) as lost:
            await work
        assert lost.value.outcome is Outcome.NOT_EXECUTED
    assert not await database.is_ready()
    line.down = False
    assert await database.is_ready()
    assert await database.transact(insert) == "done"


async def test_a_backend_that_was_terminated_is_replaced(database: Database) -> None:
    async def work(tx: Any) -> None:
        await insert(tx)
        (row,) = await tx.connection.fetch("SELECT pg_backend_pid() AS pid")
        await made.fetch(database, "SELECT pg_terminate_backend($1, 5000)", row["pid"])
        await insert(tx)

    with pytest.raises(StorageUnavailable):
        await database.transact(work)
    assert await count(database) == 0


async def test_contention_runs_again_and_gives_up_in_the_end(database: Database) -> None:
    runs = 0

    async def work(tx: Any) -> int:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise asyncpg.DeadlockDetectedError
        return runs

    assert await database.transact(work) == 4
    runs = -100
    with pytest.raises(StorageUnavailable, match="contention"):
        await database.transact(work)


@pytest.mark.parametrize("before", [0, 1])
async def test_a_lost_race_for_a_unique_key_runs_once_more(database: Database, before: int) -> None:
    """Also when the run before it met a deadlock."""
    runs = 0

    async def work(tx: Any) -> int:
        nonlocal runs
        runs += 1
        if runs <= before:
            raise asyncpg.DeadlockDetectedError
        if runs == before + 1:
            raise asyncpg.UniqueViolationError
        return runs

    assert await database.transact(work) == before + 2


async def test_a_unique_key_that_stays_taken_is_refused(database: Database) -> None:
    await database.transact(insert)
    same = made.attempt(1, made.payment(1))
    with pytest.raises(DataRefused):
        await database.transact(lambda tx: tx.insert_attempts([same, same]))


NEVER = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))


@pytest.mark.parametrize("value", ["a\x00b", "\ud800", 10**30, NEVER, b"x"], ids=repr)
async def test_what_postgresql_cannot_take_is_no_outage(database: Database, value: object) -> None:
    kind = {int: "bigint", datetime: "timestamptz"}.get(type(value), "text")
    with pytest.raises(InvalidInput) as refused:
        await made.fetch(database, f"SELECT $1::{kind}", value)
    assert refused.value.code == "value_refused"
    assert (await database.now()).tzinfo is UTC
