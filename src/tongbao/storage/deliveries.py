"""Writing down what became of deliveries, in batches. Implements `ports.webhook.DeliveryStore`.

A result is written under its lease only: who lost the lease in the meantime writes nothing. Rows that are not ours to
finish are taken with SKIP LOCKED, so that nothing here waits for a neighbour.
"""

from collections.abc import Sequence
from dataclasses import astuple
from functools import partial
from typing import Any

from tongbao.domain.endpoint import DeliveryStatus
from tongbao.ports.leases import ORDERED_TRIES
from tongbao.ports.webhook import DeliveryResult
from tongbao.storage.database import Database
from tongbao.storage.rows import Columns, names, transpose, unnest
from tongbao.storage.transaction import Transaction
from tongbao.storage.webhooks import CANCEL

RESULT: Columns = (
    ("app_id", "text"),
    ("id", "text"),
    ("endpoint_id", "text"),
    ("payment_id", "text"),
    ("sequence", "integer"),
    ("leased_by", "text"),
    ("status", "text"),
    ("tries", "integer"),
    ("next_at", "timestamptz"),
    ("last_status", "smallint"),
    ("last_error", "text"),
    ("delivered_at", "timestamptz"),
    ("disables", "text"),
)
FINISH = f"""
    WITH result AS (SELECT {names(RESULT, "u.")} FROM {unnest(RESULT)}),
    mine AS MATERIALIZED (
        SELECT d.app_id, d.id FROM result r JOIN deliveries d USING (app_id, id) WHERE d.leased_by = r.leased_by
        ORDER BY d.app_id, d.id FOR NO KEY UPDATE OF d)
    UPDATE deliveries d SET status = r.status, tries = r.tries, next_at = r.next_at, last_status = r.last_status,
        last_error = r.last_error, delivered_at = r.delivered_at, leased_by = NULL
    FROM mine JOIN result r USING (app_id, id) WHERE d.app_id = mine.app_id AND d.id = mine.id
    RETURNING d.app_id, d.id"""

# Later events of the payment could not be claimed before that time anyway; left due, they would stand in the way of
# every claim until then.
HOLD_BACK = """
    WITH later AS MATERIALIZED (
        SELECT d.app_id, d.id, u.next_at
        FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[])
             AS u(app_id, endpoint_id, payment_id, sequence, next_at)
        JOIN deliveries d ON d.app_id = u.app_id AND d.payment_id = u.payment_id AND d.sequence > u.sequence
             AND d.endpoint_id IS NOT DISTINCT FROM u.endpoint_id AND d.next_at < u.next_at AND d.leased_by IS NULL
        FOR NO KEY UPDATE OF d SKIP LOCKED)
    UPDATE deliveries d SET next_at = later.next_at FROM later WHERE d.app_id = later.app_id AND d.id = later.id"""
DISABLE = "UPDATE webhook_endpoints SET enabled = false, disabled_why = $3 WHERE app_id = $1 AND id = $2 AND enabled"


class Deliveries:
    """On a pool; a batch is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def finish(self, results: Sequence[DeliveryResult]) -> list[bool]:
        return await self._database.transact(partial(_finish, results))


async def _finish(results: Sequence[DeliveryResult], tx: Transaction) -> list[bool]:
    connection = tx.connection
    found = await connection.fetch(FINISH, *transpose([astuple(result) for result in results]))
    written = {(row["app_id"], row["id"]) for row in found}
    held = [(result.app_id, result.id) in written for result in results]
    mine = [result for result, is_held in zip(results, held, strict=True) if is_held]
    await _hold_back(connection, mine)
    await _disable(connection, mine)
    return held


async def _hold_back(connection: Any, results: Sequence[DeliveryResult]) -> None:
    waiting = [
        (r.app_id, r.endpoint_id, r.payment_id, r.sequence, r.next_at)
        for r in results
        if r.status is DeliveryStatus.PENDING and r.tries < ORDERED_TRIES
    ]
    if waiting:
        await connection.execute(HOLD_BACK, *transpose(waiting))


async def _disable(connection: Any, results: Sequence[DeliveryResult]) -> None:
    ended = {(r.app_id, r.endpoint_id): r.disables for r in results if r.disables is not None}
    for (app_id, endpoint_id), why in sorted(ended.items()):
        await connection.execute(DISABLE, app_id, endpoint_id, why)
        await connection.execute(CANCEL, app_id, endpoint_id)
