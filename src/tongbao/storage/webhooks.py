"""Webhook endpoints, and the deliveries that merchants see and ask for. Implements `ports.webhook.WebhookStore`.

Whoever cancels deliveries skips those that are leased: a worker has them in hand, and finds the endpoint gone if it
has to try again. Pages are ordered by id, which is the order of making.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tongbao.domain.endpoint import Delivery, DeliveryStatus, DisabledWhy, WebhookEndpoint
from tongbao.domain.event import Event, EventType
from tongbao.ports.reading import Page
from tongbao.ports.webhook import EndpointChange
from tongbao.storage import statements as sql
from tongbao.storage.database import Database
from tongbao.storage.rows import event_row, from_json, to_json, transpose
from tongbao.storage.transaction import Transaction

ENDPOINT = """
    app_id, id, url, event_types, enabled, disabled_why, sealed_secret, sealed_previous, previous_until, metadata,
    created_at"""
INSERT_ENDPOINT = f"""
    INSERT INTO webhook_endpoints ({ENDPOINT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11)"""
COUNT_ENDPOINTS = "SELECT count(*) FROM webhook_endpoints WHERE app_id = $1"
READ_ENDPOINT = f"SELECT {ENDPOINT} FROM webhook_endpoints WHERE app_id = $1 AND id = $2"
LIST_ENDPOINTS = f"""
    SELECT {ENDPOINT} FROM webhook_endpoints WHERE app_id = $1
    AND ($2::text IS NULL OR id < $2) AND ($3::text IS NULL OR id > $3) ORDER BY id {{direction}} LIMIT $4"""
CHANGE_ENDPOINT = f"""
    UPDATE webhook_endpoints SET url = coalesce($3, url), event_types = coalesce($4::text[], event_types),
        enabled = coalesce($5, enabled), metadata = coalesce($6::jsonb, metadata),
        disabled_why = CASE $5 WHEN true THEN NULL WHEN false THEN coalesce(disabled_why, $7) ELSE disabled_why END
    WHERE app_id = $1 AND id = $2 RETURNING {ENDPOINT}"""
ROTATE = f"""
    UPDATE webhook_endpoints SET sealed_previous = sealed_secret, sealed_secret = $3, previous_until = $4
    WHERE app_id = $1 AND id = $2 RETURNING {ENDPOINT}"""
DELETE_ENDPOINT = "DELETE FROM webhook_endpoints WHERE app_id = $1 AND id = $2 RETURNING 1"
CANCEL = """
    WITH left_over AS MATERIALIZED (
        SELECT app_id, id FROM deliveries
        WHERE app_id = $1 AND endpoint_id = $2 AND next_at IS NOT NULL AND leased_by IS NULL
        FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE deliveries d SET status = 'canceled', next_at = NULL FROM left_over l
    WHERE d.app_id = l.app_id AND d.id = l.id"""
LIST_DELIVERIES = """
    SELECT d.app_id, d.id, d.endpoint_id, d.event_id, v.type AS event_type, d.payment_id, d.sequence, d.status, d.tries,
           d.next_at, d.last_status, d.last_error, d.created_at, d.delivered_at
    FROM deliveries d JOIN events v ON v.app_id = d.app_id AND v.id = d.event_id
    WHERE d.app_id = $1 AND d.endpoint_id = $5 AND ($6::text IS NULL OR d.status = $6)
    AND ($2::text IS NULL OR d.id < $2) AND ($3::text IS NULL OR d.id > $3) ORDER BY d.id {direction} LIMIT $4"""
INSERT_ONE_DELIVERY = f"""
    INSERT INTO deliveries (app_id, id, endpoint_id, event_id, payment_id, sequence, status, tries, next_at, created_at)
    VALUES ($1, {sql.delivery_id("$2::text", "$3::text")}, $3, $2, $4, $5, 'pending', 0, $6, $6)"""

# In the order of delivery ids, as everybody locks them. What a worker has in hand is on its way already.
REDELIVER = f"""
    WITH wanted AS (
        SELECT v.app_id, {sql.delivery_id("v.id", "w.id")} AS id, w.id AS endpoint_id, v.id AS event_id, v.payment_id,
               v.sequence
        FROM events v JOIN webhook_endpoints w ON w.app_id = v.app_id AND w.enabled
        WHERE v.app_id = $1 AND v.id = $2
        AND (w.id = $3 OR $3::text IS NULL AND (w.event_types = '{{}}' OR v.type = ANY (w.event_types)))),
    written AS (
        INSERT INTO deliveries AS d
            (app_id, id, endpoint_id, event_id, payment_id, sequence, status, tries, next_at, created_at)
        SELECT app_id, id, endpoint_id, event_id, payment_id, sequence, 'pending', 0, $4, $4 FROM wanted ORDER BY id
        ON CONFLICT (app_id, id) DO UPDATE SET status = 'pending', tries = 0, next_at = $4, delivered_at = NULL
        WHERE d.leased_by IS NULL)
    SELECT count(*) FROM wanted"""


def endpoint_from(row: Mapping[str, Any]) -> WebhookEndpoint:
    return WebhookEndpoint(
        app_id=row["app_id"],
        id=row["id"],
        url=row["url"],
        event_types=tuple(EventType(name) for name in row["event_types"]),
        sealed_secret=row["sealed_secret"],
        created_at=row["created_at"],
        enabled=row["enabled"],
        disabled_why=None if row["disabled_why"] is None else DisabledWhy(row["disabled_why"]),
        sealed_previous=row["sealed_previous"],
        previous_until=row["previous_until"],
        metadata=from_json(row["metadata"]),
    )


def delivery_from(row: Mapping[str, Any]) -> Delivery:
    return Delivery(
        **{**row, "event_type": EventType(row["event_type"]), "status": DeliveryStatus(row["status"])},
    )


class Webhooks:
    """On a pool; what belongs together is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- endpoints

    async def insert_endpoint(self, endpoint: WebhookEndpoint) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                INSERT_ENDPOINT,
                endpoint.app_id,
                endpoint.id,
                endpoint.url,
                list(endpoint.event_types),
                endpoint.enabled,
                endpoint.disabled_why,
                endpoint.sealed_secret,
                endpoint.sealed_previous,
                endpoint.previous_until,
                to_json(endpoint.metadata),
                endpoint.created_at,
            )

    async def count_endpoints(self, app_id: str) -> int:
        async with self._database.connection() as connection:
            count: int = await connection.fetchval(COUNT_ENDPOINTS, app_id)
        return count

    async def read_endpoint(self, app_id: str, endpoint_id: str) -> WebhookEndpoint | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(READ_ENDPOINT, app_id, endpoint_id)
        return None if row is None else endpoint_from(row)

    async def list_endpoints(self, app_id: str, page: Page) -> tuple[list[WebhookEndpoint], bool]:
        found, more = await self._page(LIST_ENDPOINTS, app_id, page)
        return [endpoint_from(row) for row in found], more

    async def change_endpoint(self, app_id: str, endpoint_id: str, change: EndpointChange) -> WebhookEndpoint | None:
        types = None if change.event_types is None else list(change.event_types)
        metadata = None if change.metadata is None else to_json(change.metadata)
        async with self._database.connection() as connection, connection.transaction():
            row = await connection.fetchrow(
                CHANGE_ENDPOINT, app_id, endpoint_id, change.url, types, change.enabled, metadata, DisabledWhy.MERCHANT
            )
            if row is not None and change.enabled is False:
                await connection.execute(CANCEL, app_id, endpoint_id)
        return None if row is None else endpoint_from(row)

    async def rotate_secret(
        self, app_id: str, endpoint_id: str, sealed: bytes, previous_until: datetime
    ) -> WebhookEndpoint | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(ROTATE, app_id, endpoint_id, sealed, previous_until)
        return None if row is None else endpoint_from(row)

    async def delete_endpoint(self, app_id: str, endpoint_id: str) -> bool:
        async with self._database.connection() as connection, connection.transaction():
            deleted = await connection.fetchval(DELETE_ENDPOINT, app_id, endpoint_id)
            if deleted is not None:
                await connection.execute(CANCEL, app_id, endpoint_id)
        return deleted is not None

    # --- deliveries

    async def list_deliveries(
        self, app_id: str, endpoint_id: str, status: DeliveryStatus | None, page: Page
    ) -> tuple[list[Delivery], bool]:
        found, more = await self._page(LIST_DELIVERIES, app_id, page, endpoint_id, status)
        return [delivery_from(row) for row in found], more

    async def insert_test_event(self, event: Event, endpoint_id: str) -> None:
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(sql.INSERT_EVENTS, *transpose([event_row(event)]))
            await connection.execute(
                INSERT_ONE_DELIVERY,
                event.app_id,
                event.id,
                endpoint_id,
                event.payment_id,
                event.sequence,
                event.created_at,
            )

    async def redeliver(self, app_id: str, event_id: str, endpoint_id: str | None, now: datetime) -> int:
        async def work(tx: Transaction) -> int:
            return int(await tx.connection.fetchval(REDELIVER, app_id, event_id, endpoint_id, now))

        return await self._database.transact(work)

    async def _page(self, statement: str, app_id: str, page: Page, *filters: object) -> tuple[list[Any], bool]:
        """`ending_before` reads upwards and is turned around."""
        upwards = page.starting_after is None and page.ending_before is not None
        statement = statement.format(direction="ASC" if upwards else "DESC")
        cursor = (page.starting_after, page.ending_before if upwards else None)
        async with self._database.connection() as connection:
            found = await connection.fetch(statement, app_id, *cursor, page.limit + 1, *filters)
        kept = found[: page.limit]
        return (kept[::-1] if upwards else kept), len(found) > page.limit
