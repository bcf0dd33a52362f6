"""Numbered .sql files and their runner: an advisory lock, one transaction each, a checksum that may not change."""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

from tongbao.domain.errors import Misconfigured

LOCK_ID = 0x746F6E67  # "tong"
TABLE = """
    CREATE TABLE IF NOT EXISTS migrations (
        number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `0001_first.sql`."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


def all_migrations() -> list[Migration]:
    """In order of their numbers."""
    found = [path for path in files(__package__).iterdir() if path.name.endswith(".sql")]
    return [
        Migration(int(path.name[:4]), path.name.removesuffix(".sql"), path.read_text())
        for path in sorted(found, key=lambda path: path.name)
    ]


async def migrate(connection: Any) -> list[str]:
    """Applies what is missing; returns the names applied. Raises Misconfigured when an applied file has changed."""
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK_ID)
    try:
        await connection.execute(TABLE)
        applied = {row["number"]: row["checksum"] for row in await connection.fetch("SELECT * FROM migrations")}
        done = []
        for migration in all_migrations():
            if migration.number in applied:
                _check(migration, applied[migration.number])
                continue
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO migrations (number, name, checksum) VALUES ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.checksum,
                )
            done.append(migration.name)
        return done
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_ID)


def _check(migration: Migration, checksum: str) -> None:
    if migration.checksum != checksum:
        raise Misconfigured(f"migration {migration.name} was changed after it was applied; restore the file")
