"""One real PostgreSQL for all tests of this checkout, and for each test a migrated database that holds nothing.

A template is migrated once. Each test process has one copy of it, which is emptied before every test: that costs some
2 ms, where a copy for each test costs 20 to 200 (it creates 300 files; STRATEGY file_copy is the faster one). Nothing
is synced to disk: what a test is about survives without it, except durability, whose tests start a server of their
own. Runs side by side (xdist, two terminals) share the server; the last one stops it.
"""

import contextlib
import fcntl
import os
import tempfile
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tongbao.storage import embedded
from tongbao.storage.migrations import all_migrations, migrate

CHECKOUT = sha256(str(Path(__file__).resolve().parent.parent).encode()).hexdigest()[:12]
FAST = (
    "ALTER SYSTEM SET fsync = off",
    "ALTER SYSTEM SET synchronous_commit = off",
    "ALTER SYSTEM SET full_page_writes = off",
    "SELECT pg_reload_conf()",
)
DISCONNECT_OTHERS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
EMPTY = """
    DO $$ DECLARE name text; BEGIN
        SET LOCAL session_replication_role = replica;
        FOR name IN SELECT c.oid::regclass FROM pg_class c WHERE c.relkind = 'r' AND c.relname <> 'migrations'
                    AND c.relnamespace = 'public'::regnamespace
        LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
    END $$"""


def data_directory() -> Path:
    """As root the embedded server opens the folders above its data to its own user, so not below a private one."""
    parent = Path("/var/lib/tongbao") if os.geteuid() == 0 else Path(tempfile.gettempdir())
    return parent / f"test-{CHECKOUT}"


def database_url(server_url: str, name: str) -> str:
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Holds off other processes of this checkout."""
    with open(Path(tempfile.gettempdir()) / f"tongbao-test-{CHECKOUT}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start_server() -> str:
    """Starts or joins the server; returns its address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a machine without XDG_RUNTIME_DIR is no fault of ours
        url, _ = embedded.start(data_directory())
    return url


async def prepare_template(server_url: str) -> str:
    """The name of the migrated template; made once per set of migrations. Removes what killed runs left behind."""
    checksums = "".join(migration.checksum for migration in all_migrations())
    name = f"template_{sha256(checksums.encode()).hexdigest()[:12]}"
    connection = await asyncpg.connect(server_url)
    try:
        found = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        for left in [database for database in found if _is_left_behind(database)]:
            await connection.execute(f"DROP DATABASE IF EXISTS {left} WITH (FORCE)")
        if name not in found:
            await _make_template(connection, server_url, name)
    finally:
        await connection.close()
    return name


async def _make_template(connection: Any, server_url: str, name: str) -> None:
    for statement in FAST:
        await connection.execute(statement)
    await connection.execute("DROP DATABASE IF EXISTS template_unfinished WITH (FORCE)")
    await connection.execute("CREATE DATABASE template_unfinished")
    inside = await asyncpg.connect(database_url(server_url, "template_unfinished"))
    try:
        await migrate(inside)
    finally:
        await inside.close()
    await connection.execute(f"ALTER DATABASE template_unfinished RENAME TO {name}")


def _is_left_behind(database: str) -> bool:
    if not database.startswith("test_"):
        return False
    try:
        os.kill(int(database.split("_")[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


async def make_copy(server_url: str, template: str, label: str = "main") -> str:
    """A new migrated database; it is removed by the first run that finds this process gone. Returns its address."""
    name = f"test_{os.getpid()}_{label}"
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    finally:
        await connection.close()
    return database_url(server_url, name)


async def drop(server_url: str, url: str) -> None:
    """Removes a copy, with whoever is still connected."""
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")
    finally:
        await connection.close()


async def empty(url: str) -> None:
    """Ends what an earlier test left connected, and deletes every row (faster than TRUNCATE on small tables)."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(DISCONNECT_OTHERS)
        await connection.execute(EMPTY)
    finally:
        await connection.close()
