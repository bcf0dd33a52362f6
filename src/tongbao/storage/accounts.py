"""Apps, API keys, channel accounts, and the secrets of this installation. Implements `ports.accounts.AccountStore`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tongbao.domain.account import ApiKey, App, ChannelAccount
from tongbao.domain.report import Identity
from tongbao.storage.database import Database
from tongbao.storage.rows import from_json, to_json

ACCOUNT = """
    SELECT c.*, a.livemode FROM channel_accounts c JOIN apps a ON a.id = c.app_id"""


def _account(row: Mapping[str, Any]) -> ChannelAccount:
    return ChannelAccount(
        app_id=row["app_id"],
        id=row["id"],
        channel=row["channel"],
        name=row["name"],
        identity=Identity(row["account"], row["seller"]),
        credentials=from_json(row["credentials"]),
        sealed=row["sealed"],
        created_at=row["created_at"],
        livemode=row["livemode"],
        enabled=row["enabled"],
        metadata=from_json(row["metadata"]),
        version=row["version"],
    )


class Accounts:
    """On a pool; each call is one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert_app(self, app: App) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                "INSERT INTO apps (id, name, livemode, created_at) VALUES ($1, $2, $3, $4)",
                app.id,
                app.name,
                app.livemode,
                app.created_at,
            )

    async def list_apps(self) -> list[App]:
        async with self._database.connection() as connection:
            return [App(**row) for row in await connection.fetch("SELECT * FROM apps ORDER BY id")]

    async def insert_key(self, key: ApiKey, digest: bytes) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                "INSERT INTO api_keys (app_id, id, digest, hint, created_at) VALUES ($1, $2, $3, $4, $5)",
                key.app_id,
                key.id,
                digest,
                key.hint,
                key.created_at,
            )

    async def list_keys(self, app_id: str) -> list[ApiKey]:
        statement = "SELECT app_id, id, hint, created_at, revoked_at FROM api_keys WHERE app_id = $1 ORDER BY id"
        async with self._database.connection() as connection:
            return [ApiKey(**row) for row in await connection.fetch(statement, app_id)]

    async def revoke_key(self, app_id: str, key_id: str, now: datetime) -> bool:
        statement = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE app_id = $1 AND id = $2"
        async with self._database.connection() as connection:
            return bool((await connection.execute(statement, app_id, key_id, now)) == "UPDATE 1")

    async def app_by_digest(self, digest: bytes) -> tuple[App, bytes] | None:
        statement = """
            SELECT a.id, a.name, a.livemode, a.created_at, k.digest FROM api_keys k JOIN apps a ON a.id = k.app_id
            WHERE k.digest = $1 AND k.revoked_at IS NULL"""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(statement, digest)
        if row is None:
            return None
        return App(row["id"], row["name"], row["livemode"], row["created_at"]), row["digest"]

    async def insert_account(self, account: ChannelAccount) -> None:
        statement = """
            INSERT INTO channel_accounts
                (app_id, id, channel, name, enabled, account, seller,
                 credentials, sealed, metadata, version, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
        async with self._database.connection() as connection:
            await connection.execute(
                statement,
                account.app_id,
                account.id,
                account.channel,
                account.name,
                account.enabled,
                account.identity.account,
                account.identity.seller,
                to_json(account.credentials),
                account.sealed,
                to_json(account.metadata),
                account.version,
                account.created_at,
            )

    async def update_account(self, account: ChannelAccount, version: int) -> bool:
        statement = """
            UPDATE channel_accounts SET name = $3, enabled = $4, account = $5, seller = $6, credentials = $7,
                sealed = $8, metadata = $9, version = $10 WHERE app_id = $1 AND id = $2 AND version = $11"""
        async with self._database.connection() as connection:
            done = await connection.execute(
                statement,
                account.app_id,
                account.id,
                account.name,
                account.enabled,
                account.identity.account,
                account.identity.seller,
                to_json(account.credentials),
                account.sealed,
                to_json(account.metadata),
                account.version,
                version,
            )
        return bool(done == "UPDATE 1")

    async def read_account(self, app_id: str, account_id: str) -> ChannelAccount | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(f"{ACCOUNT} WHERE c.app_id = $1 AND c.id = $2", app_id, account_id)
        return None if row is None else _account(row)

    async def account_by_id(self, account_id: str) -> ChannelAccount | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(f"{ACCOUNT} WHERE c.id = $1", account_id)
        return None if row is None else _account(row)

    async def list_accounts(self, app_id: str) -> list[ChannelAccount]:
        async with self._database.connection() as connection:
            found = await connection.fetch(f"{ACCOUNT} WHERE c.app_id = $1 ORDER BY c.id", app_id)
        return [_account(row) for row in found]

    async def instance_secret(self, name: str, sealed: bytes) -> bytes:
        """This installation's secret of that name: the stored one, or `sealed` if there was none."""
        async with self._database.connection() as connection:
            await connection.execute("INSERT INTO instance VALUES ($1, $2) ON CONFLICT DO NOTHING", name, sealed)
            found: bytes = await connection.fetchval("SELECT sealed FROM instance WHERE name = $1", name)
            return found
