"""What every test may ask for: a real, empty database, a clock that it moves, ids that repeat."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests import postgres
from tests.simulated import SimClock, SimIds
from tongbao.storage.database import Database


@pytest.fixture(scope="session")
def postgres_server() -> tuple[str, str]:
    """The address of the shared PostgreSQL and the name of its migrated template."""
    with postgres.only_one():
        url = postgres.start_server()
        return url, asyncio.run(postgres.prepare_template(url))


@pytest.fixture(scope="session")
def _kept_database(postgres_server: tuple[str, str]) -> Iterator[str]:
    """This process's own database, emptied before each test."""
    url = asyncio.run(postgres.make_copy(*postgres_server))
    yield url
    asyncio.run(postgres.drop(postgres_server[0], url))


@pytest.fixture
async def database_url(_kept_database: str) -> str:
    """The address of a migrated database without a row."""
    await postgres.empty(_kept_database)
    return _kept_database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database without a row, connected."""
    connected = await Database.connect(database_url, connections_max=6)
    yield connected
    try:
        await asyncio.wait_for(connected.close(), 5)
    except TimeoutError:  # a failed test left a transaction open; its own failure says more than a hanging run
        connected.pool.terminate()


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture
def ids() -> SimIds:
    return SimIds()
