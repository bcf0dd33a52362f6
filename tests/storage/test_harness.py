"""The tests' own ground: each test has a migrated database that no other test sees."""

import pytest

from tongbao.storage.database import Database


@pytest.mark.parametrize("run", [1, 2])
async def test_every_test_has_a_database_of_its_own(database: Database, run: int) -> None:
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM workers") == 0
        await connection.execute("INSERT INTO workers VALUES ('w', now())")
        assert await connection.fetchval("SHOW fsync") == "off"


async def test_migrating_again_does_nothing(database: Database) -> None:
    assert await database.migrate() == []
