"""Leases of due rows, and the workers' housekeeping. Implements `ports.leases.Leases`.

Rule 1: a claim locks with SKIP LOCKED and never waits, so it cannot deadlock with the write path; a release locks in
        the order of keys, as everybody does.
Rule 2: time is a parameter.
Rule 3: deliveries are looked for endpoint by endpoint (one index probe for each that has any), so that a dead endpoint
        with a hundred thousand due rows costs the others nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tongbao.domain.payment import OPEN_ATTEMPT
from tongbao.ports.leases import FORGOTTEN_AFTER, ORDERED_TRIES, SILENT_AFTER, DueDelivery, JobKey, Target
from tongbao.storage.database import Database
from tongbao.storage.rows import transpose

BEAT = """
    INSERT INTO workers (id, heartbeat_at) VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET heartbeat_at = EXCLUDED.heartbeat_at"""
FORGET = "DELETE FROM workers WHERE heartbeat_at < $1"
RETIRE = "DELETE FROM workers WHERE id = $1"


def free(alias: str) -> str:
    """True for a row that nobody holds; `$3` is the time before which a heartbeat is too old."""
    return f"""({alias}.leased_by IS NULL OR NOT EXISTS (
        SELECT 1 FROM workers w WHERE w.id = {alias}.leased_by AND w.heartbeat_at > $3))"""


CLAIM_ATTEMPTS = f"""
    WITH due AS MATERIALIZED (
        SELECT a.app_id, a.id FROM attempts a WHERE a.next_query_at <= $2 AND {free("a")}
        ORDER BY a.next_query_at LIMIT $4 FOR NO KEY UPDATE OF a SKIP LOCKED)
    UPDATE attempts a SET leased_by = $1 FROM due WHERE a.app_id = due.app_id AND a.id = due.id
    RETURNING a.app_id, a.payment_id, a.id"""
CLAIM_REFUNDS = f"""
    WITH due AS MATERIALIZED (
        SELECT r.app_id, r.id FROM refunds r WHERE r.next_try_at <= $2 AND {free("r")}
        AND NOT EXISTS (
            SELECT 1 FROM refunds o WHERE o.app_id = r.app_id AND o.payment_id = r.payment_id
            AND o.attempt_id = r.attempt_id AND o.status = 'pending'
            AND (o.created_at, o.id) < (r.created_at, r.id))
        ORDER BY r.next_try_at LIMIT $4 FOR NO KEY UPDATE OF r SKIP LOCKED)
    UPDATE refunds r SET leased_by = $1 FROM due WHERE r.app_id = due.app_id AND r.id = due.id
    RETURNING r.app_id, r.payment_id, r.id"""

# `busy` jumps from one endpoint with undelivered rows to the next; `found` takes the next few of each that are due and
# whose turn it is, the longest waiting first. IS NOT DISTINCT FROM keeps the planner from looking for earlier events
# among all of the endpoint's rows. The lock looks again: a row may have changed since it was found.
CLAIM_DELIVERIES = f"""
    WITH RECURSIVE busy AS (
        (SELECT app_id, endpoint_id FROM deliveries WHERE next_at IS NOT NULL ORDER BY app_id, endpoint_id LIMIT 1)
        UNION ALL
        SELECT n.app_id, n.endpoint_id FROM busy b CROSS JOIN LATERAL (
            SELECT d.app_id, d.endpoint_id FROM deliveries d
            WHERE d.next_at IS NOT NULL AND (d.app_id, d.endpoint_id) > (b.app_id, b.endpoint_id)
            ORDER BY d.app_id, d.endpoint_id LIMIT 1) n),
    held AS (SELECT * FROM unnest($5::text[], $6::integer[]) AS h(endpoint_id, in_flight)),
    found AS MATERIALIZED (
        SELECT f.app_id, f.id FROM busy b LEFT JOIN held h USING (endpoint_id) CROSS JOIN LATERAL (
            SELECT d.app_id, d.id, d.next_at FROM deliveries d
            WHERE d.app_id = b.app_id AND d.endpoint_id = b.endpoint_id AND d.next_at <= $2 AND {free("d")}
            AND NOT EXISTS (
                SELECT 1 FROM deliveries e
                WHERE e.app_id = d.app_id AND e.payment_id = d.payment_id AND e.sequence < d.sequence
                AND e.endpoint_id IS NOT DISTINCT FROM d.endpoint_id
                AND e.next_at IS NOT NULL AND e.tries < {ORDERED_TRIES})
            ORDER BY d.next_at LIMIT greatest(0, $7 - coalesce(h.in_flight, 0))) f
        ORDER BY f.next_at LIMIT $4),
    locked AS MATERIALIZED (
        SELECT d.app_id, d.id FROM found JOIN deliveries d USING (app_id, id)
        WHERE d.next_at <= $2 AND {free("d")} FOR NO KEY UPDATE OF d SKIP LOCKED)
    UPDATE deliveries d SET leased_by = $1
    FROM locked l, events v, apps p
    WHERE d.app_id = l.app_id AND d.id = l.id AND v.app_id = d.app_id AND v.id = d.event_id AND p.id = d.app_id
    RETURNING d.app_id, d.id, d.endpoint_id, d.event_id, d.payment_id, d.sequence, d.tries, d.leased_by,
              v.type AS event_type, v.data, v.created_at, p.livemode"""
TARGETS = """
    SELECT w.app_id, w.id, w.url, w.sealed_secret, w.sealed_previous, w.previous_until
    FROM unnest($1::text[], $2::text[]) AS k(app_id, id) JOIN webhook_endpoints w USING (app_id, id) WHERE w.enabled"""


def release_sql(table: str, due: str) -> str:
    return f"""
        WITH mine AS MATERIALIZED (
            SELECT t.app_id, t.id FROM unnest($2::text[], $3::text[]) AS k(app_id, id)
            JOIN {table} t USING (app_id, id) WHERE t.leased_by = $1
            ORDER BY t.app_id, t.id FOR NO KEY UPDATE OF t)
        UPDATE {table} t
        SET leased_by = NULL, {due} = CASE WHEN t.{due} <= $4 THEN greatest(t.{due}, $5) ELSE t.{due} END
        FROM mine WHERE t.app_id = mine.app_id AND t.id = mine.id"""


RELEASE_ATTEMPTS = release_sql("attempts", "next_query_at")
RELEASE_REFUNDS = release_sql("refunds", "next_try_at")
RELEASE_DELIVERIES = release_sql("deliveries", "next_at")
DUE_PAYMENTS = """
    SELECT p.app_id, p.id FROM payments p
    WHERE p.status = 'pending' AND p.expires_at <= $1
    AND NOT EXISTS (
        SELECT 1 FROM attempts a WHERE a.app_id = p.app_id AND a.payment_id = p.id AND a.status = ANY ($3::text[]))
    ORDER BY p.expires_at LIMIT $2"""
FOLD_BALANCES = """
    WITH several AS (
        SELECT app_id, kind, channel_account_id, currency FROM balance_deltas
        GROUP BY app_id, kind, channel_account_id, currency HAVING count(*) > 1),
    taken AS MATERIALIZED (
        SELECT b.app_id, b.id FROM balance_deltas b JOIN several USING (app_id, kind, channel_account_id, currency)
        ORDER BY b.app_id, b.kind, b.channel_account_id, b.currency LIMIT $1 FOR UPDATE OF b SKIP LOCKED),
    gone AS (
        DELETE FROM balance_deltas b USING taken WHERE b.app_id = taken.app_id AND b.id = taken.id
        RETURNING b.app_id, b.kind, b.channel_account_id, b.currency, b.minor),
    sums AS (
        INSERT INTO balance_deltas (app_id, kind, channel_account_id, currency, minor)
        SELECT app_id, kind, channel_account_id, currency, sum(minor)::bigint FROM gone
        GROUP BY app_id, kind, channel_account_id, currency RETURNING 1)
    SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM sums)"""
PURGE_IDEMPOTENCY = """
    WITH old AS MATERIALIZED (
        SELECT app_id, key FROM idempotency_keys WHERE created_at < $1
        ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED),
    gone AS (
        DELETE FROM idempotency_keys i USING old WHERE i.app_id = old.app_id AND i.key = old.key RETURNING 1)
    SELECT count(*) FROM gone"""


class Leases:
    """On a pool; each call is one statement, a claim of deliveries two."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heartbeat(self, worker_id: str, now: datetime) -> None:
        async with self._database.connection() as connection:
            await connection.execute(BEAT, worker_id, now)
            await connection.execute(FORGET, now - FORGOTTEN_AFTER)

    async def retire(self, worker_id: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(RETIRE, worker_id)

    async def claim_attempts(self, worker_id: str, now: datetime, limit: int) -> list[JobKey]:
        return await self._claim(CLAIM_ATTEMPTS, worker_id, now, limit)

    async def claim_refunds(self, worker_id: str, now: datetime, limit: int) -> list[JobKey]:
        return await self._claim(CLAIM_REFUNDS, worker_id, now, limit)

    async def _claim(self, statement: str, worker_id: str, now: datetime, limit: int) -> list[JobKey]:
        async with self._database.connection() as connection:
            found = await connection.fetch(statement, worker_id, now, now - SILENT_AFTER, limit)
        return [(row["app_id"], row["payment_id"], row["id"]) for row in found]

    async def claim_deliveries(
        self, worker_id: str, now: datetime, limit: int, in_flight: Mapping[str, int], per_endpoint: int
    ) -> list[DueDelivery]:
        held = (list(in_flight), list(in_flight.values()))
        async with self._database.connection() as connection:
            found = await connection.fetch(
                CLAIM_DELIVERIES, worker_id, now, now - SILENT_AFTER, limit, *held, per_endpoint
            )
            keys = sorted({(row["app_id"], row["endpoint_id"]) for row in found})
            endpoints = await connection.fetch(TARGETS, *transpose(keys)) if keys else []
        by_key = {(row["app_id"], row["id"]): row for row in endpoints}
        return [_due_delivery(row, by_key.get((row["app_id"], row["endpoint_id"]))) for row in found]

    async def release_attempts(
        self, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime
    ) -> None:
        await self._release(RELEASE_ATTEMPTS, worker_id, keys, now, not_before)

    async def release_refunds(
        self, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime
    ) -> None:
        await self._release(RELEASE_REFUNDS, worker_id, keys, now, not_before)

    async def release_deliveries(
        self, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime
    ) -> None:
        await self._release(RELEASE_DELIVERIES, worker_id, keys, now, not_before)

    async def _release(
        self, statement: str, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime
    ) -> None:
        if not keys:
            return
        apps, _, ids = transpose(list(keys))
        async with self._database.connection() as connection:
            await connection.execute(statement, worker_id, apps, ids, now, not_before)

    async def due_payments(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        async with self._database.connection() as connection:
            found = await connection.fetch(DUE_PAYMENTS, now, limit, sorted(OPEN_ATTEMPT))
        return [(row["app_id"], row["id"]) for row in found]

    async def fold_balances(self, limit: int) -> int:
        async with self._database.connection() as connection:
            saved: int = await connection.fetchval(FOLD_BALANCES, limit)
        return saved

    async def purge_idempotency(self, before: datetime, limit: int) -> int:
        async with self._database.connection() as connection:
            deleted: int = await connection.fetchval(PURGE_IDEMPOTENCY, before, limit)
        return deleted


def _due_delivery(row: Mapping[str, Any], endpoint: Mapping[str, Any] | None) -> DueDelivery:
    target = None
    if endpoint is not None:
        target = Target(
            url=endpoint["url"],
            livemode=row["livemode"],
            sealed_secret=endpoint["sealed_secret"],
            sealed_previous=endpoint["sealed_previous"],
            previous_until=endpoint["previous_until"],
        )
    return DueDelivery(
        app_id=row["app_id"],
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        payment_id=row["payment_id"],
        sequence=row["sequence"],
        data=row["data"],
        created_at=row["created_at"],
        tries=row["tries"],
        leased_by=row["leased_by"],
        target=target,
    )
