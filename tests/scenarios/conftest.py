"""A street per test, and the invariants after each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenarios.street import GATEWAY, Net, Street
from tests.simulated import SimClock, SimIds
from tongbao.bootstrap import build
from tongbao.config import read_settings
from tongbao.storage.database import Database


@pytest.fixture
async def street(database: Database, clock: SimClock, ids: SimIds, tmp_path: Path) -> AsyncIterator[Street]:
    net = Net()
    settings = read_settings({}, data_dir=str(tmp_path), base_url=f"http://{GATEWAY}")
    services = await build(settings, clock=clock, ids=ids, transport=net, database=database)
    made = await Street(services, database, clock, net).open()
    yield made
    await made.verify()
    made.sandbox.close()
    await services.close()
