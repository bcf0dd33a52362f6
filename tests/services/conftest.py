"""The whole house without a channel, and a street with one; every invariant is checked after each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenarios.conftest import street
from tests.services.book import Book
from tests.simulated import SimClock, SimIds
from tongbao.bootstrap import App, build
from tongbao.config import read_settings
from tongbao.storage.database import Database
from tongbao.transport import AsgiTransport

__all__ = ["book", "street"]


@pytest.fixture
async def book(database: Database, clock: SimClock, ids: SimIds, tmp_path: Path) -> AsyncIterator[Book]:
    settings = read_settings({}, data_dir=str(tmp_path))
    services = await build(settings, clock=clock, ids=ids, transport=AsgiTransport({}), database=database)
    made = Book(services, database, clock)
    yield made
    await made.verify()
    await services.close()


@pytest.fixture
async def twin(book: Book, database_url: str, tmp_path: Path) -> AsyncIterator[App]:
    """A second process on the same database."""
    database = await Database.connect(database_url, connections_max=6)
    settings = read_settings({}, data_dir=str(tmp_path))
    ids = SimIds(start=500_000_000)
    yield await build(settings, clock=book.clock, ids=ids, transport=AsgiTransport({}), database=database)
    await database.close()
